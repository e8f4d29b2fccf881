"""``curate sample`` and ``curate recover --targets`` on the demo, from the command line to the catalog."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attempts
import pytest
from ray_cluster import running_cluster

from curate import flows
from curate.flows import demo
from curate.flows.operations.recover import for_selection
from curate.flows.stages.recovering.job_content import job_of, selected_rows
from curate.flows.stages.recovering.targets import accepted_texts, resolved
from curate.flows.stages.recovery import recipe
from curate.schemas.corpus import Turn, example_id
from curate.schemas.settings import resolve
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

ROWS = 24
DRAWING = ("--max-new-tokens", 24, "--seed", 1)


@pytest.fixture(scope="module")
def demo_selection(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a warehouse with a selection of the demo's rows, and its id."""
    folder = tmp_path_factory.mktemp("demo") / "w"
    options = flows.settings(warehouse=folder, select={"method": "uniform", "budget": str(ROWS)})
    return folder, flows.select(options).id


@pytest.fixture
def root(demo_selection: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_selection[0], tmp_path / "w"))


@pytest.fixture
def selection(demo_selection: tuple[Path, str]) -> str:
    return demo_selection[1]


@pytest.fixture
def report(curate: Run, root: Path, selection: str) -> dict[str, Any]:
    answer = curate("sample", selection[:6], *DRAWING, "-w", root, "--json")
    assert answer.code == 0, answer.err
    return dict(answer.value)


def test_samples_are_drawn_once_kept_and_queryable(curate: Run, root: Path, report: dict[str, Any]) -> None:
    assert report["rows"] == report["asked"] == ROWS
    assert ROWS // 2 < report["solved"] < ROWS  # some of the demo's labels are wrong
    assert report["samples"] == report["mean_samples"] * ROWS < 8 * ROWS
    assert report["tokens"] < report["tokens_always"]
    before = attempts.parts(root)
    assert curate("sample", *DRAWING, "-w", root, "--json").value == report
    assert attempts.parts(root) == before

    query = """SELECT count(*) AS samples, sum(n_tokens) AS tokens, bool_and(passed = accepted OR NOT accepted) AS right
               FROM targets"""
    (row,) = curate("sql", query, "-w", root, "--json").value
    assert row == {"samples": report["samples"], "tokens": report["tokens"], "right": True}
    query = """SELECT count(*) AS rows, sum(n_drawn) AS samples, count(accepted_number) AS solved
               FROM targets_summary"""
    (row,) = curate("sql", query, "-w", root, "--json").value
    assert row == {"rows": ROWS, "samples": report["samples"], "solved": report["solved"]}

    removed = curate("gc", "--delete", "-w", root, "--json")
    assert removed.code == 0, removed.err
    assert curate("sample", *DRAWING, "-w", root, "--json").value == report
    (artefact,) = (one for one in curate("status", "-w", root, "--json").value["artefacts"] if one["noun"] == "targets")
    assert artefact["what"].startswith(f"{report['solved']} of {ROWS} rows solved by ")


def test_other_settings_are_other_targets(curate: Run, root: Path, selection: str, report: dict[str, Any]) -> None:
    options: list[list[object]] = [["--from", "compressed"], ["--best-of", 2], ["--accept", "agreement"]]
    others = [curate("sample", *DRAWING, *more, "-w", root, "--json").value for more in options]
    assert len({report["targets_id"], *(one["targets_id"] for one in others)}) == 4
    compressed, two, agreement = others
    assert compressed["solved"] < report["solved"]
    assert two["samples"] <= 2 * ROWS
    assert agreement["samples"] >= 4 * ROWS
    table = Warehouse(root).read("targets", agreement["targets_id"])
    assert table["passed"].null_count == len(table)
    # A folder that is the original is the same model.
    assert curate("sample", *DRAWING, "--from", demo.model_path(), "-w", root, "--json").value == report


@pytest.mark.slow
def test_workers_and_smaller_parts_draw_the_same_samples(
    curate: Run, demo_selection: tuple[Path, str], root: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    other = shutil.copytree(demo_selection[0], tmp_path / "other")
    again = curate("sample", *DRAWING, "--part-items", 7, "--workers", 2, "-w", other, "--json")
    assert again.code == 0, again.err
    assert again.value["targets_id"] == report["targets_id"]
    one, two = (Warehouse(folder).read("targets", report["targets_id"]) for folder in (root, other))
    # Sums of a batch of another size are rounded otherwise.
    assert one.drop_columns(["mean_logp"]) == two.drop_columns(["mean_logp"])
    assert one["mean_logp"].to_pylist() == pytest.approx(two["mean_logp"].to_pylist(), abs=1e-4)


def test_a_damaged_part_is_drawn_again(curate: Run, root: Path, report: dict[str, Any]) -> None:
    part = Warehouse(root).folder("targets", report["targets_id"]) / "part-00000.parquet"
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    repaired = curate("doctor", "--repair", "-w", root, "--json")
    assert repaired.code == 0, repaired.err
    assert part.read_bytes() == content


def settings_of(root: Path, selection: str, **recover: Any) -> Any:
    return for_selection(resolve({"warehouse": root, "recover": recover}), selection)[0]


def last_turns(rows: Any) -> list[str]:
    return [messages[-1]["content"] for messages in rows["messages"].to_pylist()]


def test_accepted_answers_are_what_is_trained_on(root: Path, selection: str, report: dict[str, Any]) -> None:
    warehouse = Warehouse(root)
    rows = selected_rows(warehouse, warehouse.manifest("selection", selection))
    ids, given = rows["example_id"].to_pylist(), last_turns(rows)
    samples = warehouse.read("targets", report["targets_id"]).to_pylist()
    accepted = {one["example_id"]: one["text"] for one in samples if one["accepted"]}
    assert len(accepted) == report["solved"]

    def trained(keep: str) -> tuple[Any, dict[str, Any]]:
        settings = settings_of(root, selection, targets="latest", keep_reference=keep)
        table, _, description = job_of(warehouse, settings, selection, root / "out")
        return table, description["lineage"]

    mixed, lineage = trained("on-miss")
    assert last_turns(mixed) == [accepted.get(one, answer) for one, answer in zip(ids, given, strict=True)]
    assert lineage["targets"] == report["targets_id"]
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


def test_the_compressed_models_answers_teach_other_words(curate: Run, root: Path, selection: str) -> None:
    """Agreement accepts answers that differ from the corpus's, so that some last turns change."""
    command = ("sample", "--from", "compressed", "--accept", "agreement", "--threshold", 0.51, *DRAWING)
    report = curate(*command, "-w", root, "--json").value
    warehouse = Warehouse(root)
    rows = selected_rows(warehouse, warehouse.manifest("selection", selection))
    table, _, _ = job_of(warehouse, settings_of(root, selection, targets=report["targets_id"]), selection, root / "out")
    changed = [new for new, old in zip(last_turns(table), last_turns(rows), strict=True) if new != old]
    assert changed
    assert len(set(table["example_id"].to_pylist()) - set(rows["example_id"].to_pylist())) == len(changed)


def exported(curate: Run, root: Path, folder: Path, *options: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    answer = curate("export", "--to", "messages", "--out", folder, "--name", "x", *options, "-w", root, "--json")
    assert answer.code == 0, answer.err
    return answer.value, [json.loads(line) for line in (folder / "x.jsonl").read_text().splitlines()]


def test_exports_hold_targets_and_the_licence_of_their_model(
    curate: Run, root: Path, selection: str, tmp_path: Path
) -> None:
    """Agreement of the compressed model's answers, so that some last turns change."""
    model = shutil.copytree(next((root / "models").glob("demo-*")), tmp_path / "small")
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    command = ("sample", "--from", model, "--accept", "agreement", "--threshold", 0.51, *DRAWING)
    targets = curate(*command, "-w", root, "--json").value["targets_id"]
    warehouse = Warehouse(root)
    for keep in ("on-miss", "never", "always"):
        report, rows = exported(curate, root, tmp_path / keep, "--targets", "latest", "--keep-reference", keep)
        settings = settings_of(root, selection, targets=targets, keep_reference=keep)
        trained, _, description = job_of(warehouse, settings, selection, root / "out")
        assert sorted(row["messages"][-1]["content"] for row in rows) == sorted(last_turns(trained))
        assert (report["targets"], report["keep_reference"]) == (targets, keep)
        before = selected_rows(warehouse, warehouse.manifest("selection", selection))
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


def questions_file(path: Path, questions: list[str]) -> Path:
    path.write_text("".join(json.dumps({"instruction": one, "output": "x"}) + "\n" for one in questions))
    return path


def test_an_answer_with_a_question_of_an_evaluation_is_no_target(
    curate: Run, root: Path, selection: str, report: dict[str, Any], tmp_path: Path
) -> None:
    texts = accepted_texts(Warehouse(root), report["targets_id"])
    recited = sorted(set(texts.values()))[:2]
    file = questions_file(tmp_path / "items.jsonl", [*recited, "What is the capital of the country of the moon?"])
    clean = curate("sample", *DRAWING, "--decontaminate", file, "-w", root, "--json")
    assert clean.code == 0, clean.err
    assert "contain questions of an evaluation" in clean.err
    left = accepted_texts(Warehouse(root), clean.value["targets_id"])
    assert left == {name: text for name, text in texts.items() if text not in recited}
    assert clean.value["contaminated"] == len(texts) - len(left) >= 2
    assert clean.value["solved"] == len(left)
    items = [example_id((Turn("user", one), Turn("assistant", "x"))) for one in recited]
    samples = Warehouse(root).read("targets", clean.value["targets_id"]).to_pylist()
    assert {one["contaminated_by"] for one in samples} == {None, *items}


def test_targets_are_checked_against_what_their_rows_were_checked_against(
    curate: Run, root: Path, tmp_path: Path
) -> None:
    file = questions_file(tmp_path / "items.jsonl", ["Which of these words is the longest one in the list?"])
    options = flows.settings(warehouse=root, select={"method": "uniform", "budget": "3", "decontaminate": [str(file)]})
    chosen = flows.select(options).id
    command = ("sample", chosen, *DRAWING, "-w", root, "--json")
    targets = curate(*command).value["targets_id"]
    inputs = Warehouse(root).manifest("targets", targets).inputs
    assert [role for role in inputs if role.startswith("evaluation:")] == ["evaluation:0:items.jsonl"]
    file.rename(tmp_path / "moved.jsonl")
    gone = curate(*command)
    assert (gone.code, "was decontaminated against items.jsonl" in gone.err) == (2, True)
    other = questions_file(tmp_path / "other.jsonl", ["Another question?"])
    assert curate(*command, "--decontaminate", other).code == 2
    assert curate(*command, "--decontaminate", other, "--decontaminate", tmp_path / "moved.jsonl").code == 0


def test_targets_and_what_is_kept_are_part_of_a_recovery(root: Path, selection: str, report: dict[str, Any]) -> None:
    warehouse = Warehouse(root)
    plain = recipe(warehouse, settings_of(root, selection), selection)
    assert "targets" not in plain.inputs
    assert "keep_reference" not in plain.settings
    recipes = [
        recipe(warehouse, settings_of(root, selection, targets=name, keep_reference=keep), selection)
        for name, keep in (("latest", "on-miss"), (report["targets_id"][:5], "on-miss"), ("latest", "never"))
    ]
    assert recipes[0].inputs["targets"] == report["targets_id"]
    assert recipes[0].id == recipes[1].id
    assert len({plain.id, *(one.id for one in recipes)}) == 3
    assert resolved(warehouse, settings_of(root, selection, targets="latest")).recover.targets == report["targets_id"]


@pytest.mark.slow
def test_a_model_is_recovered_on_targets(curate: Run, root: Path, selection: str, report: dict[str, Any]) -> None:
    command = ("recover", "--targets", "latest", "--keep-reference", "never", "--epochs", 1, "-w", root, "--json")
    answer = curate(*command)
    assert answer.code == 0, answer.err
    assert answer.value["inputs"]["targets"] == report["targets_id"]
    assert answer.value["rows"] == report["solved"]
    assert (
        report["targets_id"] in (root / "models" / f"recovered-{answer.value['recovery_id']}" / "README.md").read_text()
    )
    assert curate("gc", "--delete", "-w", root).code == 0
    assert curate(*command).value["recovery_id"] == answer.value["recovery_id"]


def test_from_python(root: Path, selection: str, report: dict[str, Any]) -> None:
    options = flows.settings(warehouse=root, seed=1, sample={"max_new_tokens": 24})
    targets = flows.sample(options, selection)
    assert targets.id == report["targets_id"]
    assert targets.summary() == report
    assert len(targets.samples()) == report["samples"]


def test_a_table_for_people(curate: Run, root: Path, report: dict[str, Any]) -> None:
    out = curate("sample", *DRAWING, "-w", root).out
    assert f"{report['solved']} of {ROWS} rows asked have a target (reference)" in out
    assert f"curate recover {report['selection_id']} --targets {report['targets_id']}" in out


def test_errors_say_what_to_do(curate: Run, tiny: tuple[Path, Path], corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "w"
    nothing = curate("sample", "-w", root)
    assert (nothing.code, "no selection" in nothing.err) == (2, True)
    chosen = curate("select", "--method", "uniform", "-b", 4, "--corpus", corpus, "-w", root, "--json").value
    unknown = curate("sample", "-w", root)
    assert (unknown.code, "without the original model; pass --original FOLDER" in unknown.err) == (3, True)
    gone = curate("sample", "--from", "nowhere", "-w", root)
    assert (gone.code, "nowhere" in gone.err) == (3, True)
    train = ("recover", "--model", tiny[1], "--targets", "latest", "-w", root)
    missing = curate(*train)
    assert (missing.code, "no targets" in missing.err) == (2, True)
    # A random model ends few answers within one token, and none is the corpus's.
    drawn = curate("sample", chosen["selection_id"], "--from", tiny[0], "--max-new-tokens", 1, "-w", root)
    assert drawn.code == 0, drawn.err
    assert "were cut off before they ended" in drawn.err
    empty = curate(*train, "--keep-reference", "never")
    assert (empty.code, "no accepted answer" in empty.err) == (3, True)
    weighed = curate(*train, "--reweigh", 2)
    assert (weighed.code, "leave out --targets" in weighed.err) == (2, True)


@pytest.mark.slow
def test_a_killed_run_resumes(curate: Run, root: Path, selection: str, tmp_path: Path) -> None:
    """Kill it before and after every rename; the final content equals that of an uninterrupted run."""
    shutil.copytree(root, tmp_path / "broken")

    def arguments(warehouse: Path) -> list[str]:
        return ["sample", *map(str, DRAWING), "--part-items", "9", "--threads", "1", "--warehouse", str(warehouse)]

    assert attempts.run(arguments(root)) == 0
    killed = 0
    while attempts.run(arguments(tmp_path / "broken"), attempts.Kill(tmp_path / "survived")) != 0:
        killed += 1
        assert killed < 60
    assert killed >= 8

    def content(warehouse: Path) -> dict[str, bytes]:
        return {name: data for name, (_, data) in attempts.parts(warehouse).items()}

    assert content(tmp_path / "broken") == content(root)
    assert len([name for name in content(root) if name.startswith("targets/")]) == 4


@pytest.mark.slow
def test_a_cluster_draws_the_samples_of_a_local_run(
    curate: Run, demo_selection: tuple[Path, str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason='needs the extra "ray"')
    command = ("sample", *DRAWING, "--part-items", 9, "--threads", 1, "--json")
    local = curate(*command, "-w", root)
    other = shutil.copytree(demo_selection[0], tmp_path / "other")
    with running_cluster(tmp_path / "cache", 1) as running:
        monkeypatch.setenv("RAY_ADDRESS", running.address)
        answer = curate(*command, "--engine", "ray", "--cpus-per-worker", 1, "--ship-models", "-w", other)
    assert answer.code == 0, answer.err
    assert answer.value == local.value
    first, second = ({name: data for name, (_, data) in attempts.parts(one).items()} for one in (root, other))
    assert first == second
