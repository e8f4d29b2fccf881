"""What ``curate recover --targets`` and ``curate export --targets`` make of samples of the demo."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from demo_samples import DRAWING, ROWS

from curate.flows.operations.recover import for_selection
from curate.flows.stages.recovering.job_content import job_of, selected_rows
from curate.flows.stages.recovering.targets import accepted_texts, resolved
from curate.flows.stages.recovery import recipe
from curate.schemas.settings import resolve
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


def settings_of(root: Path, demo_id: str, **recover: Any) -> Any:
    return for_selection(resolve({"warehouse": root, "recover": recover}), demo_id)[0]


def last_turns(rows: Any) -> list[str]:
    return [messages[-1]["content"] for messages in rows["messages"].to_pylist()]


def test_accepted_answers_are_what_is_trained_on(root: Path, demo_id: str, sampled: dict[str, Any]) -> None:
    warehouse = Warehouse(root)
    rows = selected_rows(warehouse, warehouse.manifest("selection", demo_id))
    ids, given = rows["example_id"].to_pylist(), last_turns(rows)
    samples = warehouse.read("targets", sampled["targets_id"]).to_pylist()
    accepted = {one["example_id"]: one["text"] for one in samples if one["accepted"]}
    assert len(accepted) == sampled["solved"]

    def trained(keep: str) -> tuple[Any, dict[str, Any]]:
        settings = settings_of(root, demo_id, targets="latest", keep_reference=keep)
        table, _, description = job_of(warehouse, settings, demo_id, root / "out")
        return table, description["lineage"]

    mixed, lineage = trained("on-miss")
    assert last_turns(mixed) == [accepted.get(one, answer) for one, answer in zip(ids, given, strict=True)]
    assert lineage["targets"] == sampled["targets_id"]
    assert lineage["targets_from"] == "model"
    only, _ = trained("never")
    assert last_turns(only) == [accepted[one] for one in ids if one in accepted]
    both, _ = trained("always")
    assert last_turns(both) == [
        text
        for one, answer in zip(ids, given, strict=True)
        for text in dict.fromkeys([accepted.get(one, answer), answer])
    ]
    # The question stays, and a conversation has the id of what it says.
    assert [m[:-1] for m in mixed["messages"].to_pylist()] == [m[:-1] for m in rows["messages"].to_pylist()]
    changed = [i for i, text in enumerate(last_turns(mixed)) if text != given[i]]
    assert {i for i, one in enumerate(mixed["example_id"].to_pylist()) if one != ids[i]} == set(changed)


def test_the_compressed_models_answers_teach_other_words(curate: Run, root: Path, demo_id: str) -> None:
    """Agreement accepts answers that differ from the corpus's, so that some last turns change."""
    command = ("sample", "--from", "compressed", "--accept", "agreement", "--threshold", 0.51, *DRAWING)
    report = curate(*command, "-w", root, "--json").value
    warehouse = Warehouse(root)
    rows = selected_rows(warehouse, warehouse.manifest("selection", demo_id))
    table, _, _ = job_of(warehouse, settings_of(root, demo_id, targets=report["targets_id"]), demo_id, root / "out")
    changed = [new for new, old in zip(last_turns(table), last_turns(rows), strict=True) if new != old]
    assert changed
    assert len(set(table["example_id"].to_pylist()) - set(rows["example_id"].to_pylist())) == len(changed)


def exported(curate: Run, root: Path, folder: Path, *options: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    answer = curate("export", "--to", "messages", "--out", folder, "--name", "x", *options, "-w", root, "--json")
    assert answer.code == 0, answer.err
    return answer.value, [json.loads(line) for line in (folder / "x.jsonl").read_text().splitlines()]


def test_exports_hold_targets_and_the_licence_of_their_model(
    curate: Run, root: Path, demo_id: str, tmp_path: Path
) -> None:
    """Agreement of the compressed model's answers, so that some last turns change."""
    model = shutil.copytree(next((root / "models").glob("demo-*")), tmp_path / "small")
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    command = ("sample", "--from", model, "--accept", "agreement", "--threshold", 0.51, *DRAWING)
    targets = curate(*command, "-w", root, "--json").value["targets_id"]
    warehouse = Warehouse(root)
    for keep in ("on-miss", "never", "always"):
        report, rows = exported(curate, root, tmp_path / keep, "--targets", "latest", "--keep-reference", keep)
        settings = settings_of(root, demo_id, targets=targets, keep_reference=keep)
        trained, _, description = job_of(warehouse, settings, demo_id, root / "out")
        assert sorted(row["messages"][-1]["content"] for row in rows) == sorted(last_turns(trained))
        assert (report["targets"], report["keep_reference"]) == (targets, keep)
        before = selected_rows(warehouse, warehouse.manifest("selection", demo_id))
        changed = len(set(trained["example_id"].to_pylist()) - set(before["example_id"].to_pylist()))
        assert changed
        assert report["licences"]["apache-2.0 (answers of small)"] == changed
        assert report["licences"]["not stated"] == report["rows"]
        assert description["lineage"]["targets_licence"] == "apache-2.0"
        solved = len(accepted_texts(warehouse, targets))
        assert report["left_out"] == ({"no accepted answer": ROWS - solved} if keep == "never" else {})
    plain, rows = exported(curate, root, tmp_path / "plain")
    assert "targets" not in plain
    assert set(plain["licences"]) == {"not stated"}
    ids = curate("export", "--to", "ids", "--out", tmp_path / "ids", "--targets", "latest", "-w", root)
    assert (ids.code, "--targets is not valid with --to ids" in ids.err) == (2, True)


def test_targets_and_what_is_kept_are_part_of_a_recovery(root: Path, demo_id: str, sampled: dict[str, Any]) -> None:
    warehouse = Warehouse(root)
    plain = recipe(warehouse, settings_of(root, demo_id), demo_id)
    assert "targets" not in plain.inputs
    assert "keep_reference" not in plain.settings
    recipes = [
        recipe(warehouse, settings_of(root, demo_id, targets=name, keep_reference=keep), demo_id)
        for name, keep in (("latest", "on-miss"), (sampled["targets_id"][:5], "on-miss"), ("latest", "never"))
    ]
    assert recipes[0].inputs["targets"] == sampled["targets_id"]
    assert recipes[0].id == recipes[1].id
    assert len({plain.id, *(one.id for one in recipes)}) == 3
    assert resolved(warehouse, settings_of(root, demo_id, targets="latest")).recover.targets == sampled["targets_id"]


@pytest.mark.slow
def test_a_model_is_recovered_on_targets(curate: Run, root: Path, demo_id: str, sampled: dict[str, Any]) -> None:
    command = ("recover", "--targets", "latest", "--keep-reference", "never", "--epochs", 1, "-w", root, "--json")
    answer = curate(*command)
    assert answer.code == 0, answer.err
    assert answer.value["inputs"]["targets"] == sampled["targets_id"]
    assert answer.value["rows"] == sampled["solved"]
    card = root / "models" / f"recovered-{answer.value['recovery_id']}" / "README.md"
    assert sampled["targets_id"] in card.read_text()
    assert curate("gc", "--delete", "-w", root).code == 0
    assert curate(*command).value["recovery_id"] == answer.value["recovery_id"]
