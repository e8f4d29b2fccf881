"""``curate sample`` on the demo: what is drawn, kept, checked and said, from the command line to the catalog."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attempts
from demo_samples import DRAWING, ROWS

from curate import flows
from curate.flows import demo
from curate.flows.stages.recovering.targets import accepted_texts
from curate.schemas.corpus import Turn, example_id
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


def test_samples_are_drawn_once_kept_and_queryable(curate: Run, root: Path, sampled: dict[str, Any]) -> None:
    assert sampled["rows"] == sampled["asked"] == ROWS
    assert ROWS // 2 < sampled["solved"] < ROWS  # some of the demo's labels are wrong
    assert sampled["samples"] == sampled["mean_samples"] * ROWS < 8 * ROWS
    assert sampled["tokens"] < sampled["tokens_always"]
    before = attempts.parts(root)
    assert curate("sample", *DRAWING, "-w", root, "--json").value == sampled
    assert attempts.parts(root) == before

    query = """SELECT count(*) AS samples, sum(n_tokens) AS tokens, bool_and(passed = accepted OR NOT accepted) AS right
               FROM targets"""
    (row,) = curate("sql", query, "-w", root, "--json").value
    assert row == {"samples": sampled["samples"], "tokens": sampled["tokens"], "right": True}
    query = """SELECT count(*) AS rows, sum(n_drawn) AS samples, count(accepted_number) AS solved
               FROM targets_summary"""
    (row,) = curate("sql", query, "-w", root, "--json").value
    assert row == {"rows": ROWS, "samples": sampled["samples"], "solved": sampled["solved"]}

    removed = curate("gc", "--delete", "-w", root, "--json")
    assert removed.code == 0, removed.err
    assert curate("sample", *DRAWING, "-w", root, "--json").value == sampled
    (artefact,) = (one for one in curate("status", "-w", root, "--json").value["artefacts"] if one["noun"] == "targets")
    assert artefact["what"].startswith(f"{sampled['solved']} of {ROWS} rows solved by ")


def test_other_settings_are_other_targets(curate: Run, root: Path, demo_id: str, sampled: dict[str, Any]) -> None:
    options: list[list[object]] = [["--from", "compressed"], ["--best-of", 2], ["--accept", "agreement"]]
    others = [curate("sample", *DRAWING, *more, "-w", root, "--json").value for more in options]
    assert len({sampled["targets_id"], *(one["targets_id"] for one in others)}) == 4
    compressed, two, agreement = others
    assert compressed["solved"] < sampled["solved"]
    assert two["samples"] <= 2 * ROWS
    assert agreement["samples"] >= 4 * ROWS
    table = Warehouse(root).read("targets", agreement["targets_id"])
    assert table["passed"].null_count == len(table)
    # A folder that is the original is the same model.
    assert curate("sample", *DRAWING, "--from", demo.model_path(), "-w", root, "--json").value == sampled


def questions_file(path: Path, questions: list[str]) -> Path:
    path.write_text("".join(json.dumps({"instruction": one, "output": "x"}) + "\n" for one in questions))
    return path


def test_an_answer_with_a_question_of_an_evaluation_is_no_target(
    curate: Run, root: Path, demo_id: str, sampled: dict[str, Any], tmp_path: Path
) -> None:
    texts = accepted_texts(Warehouse(root), sampled["targets_id"])
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


def test_from_python(root: Path, demo_id: str, sampled: dict[str, Any]) -> None:
    options = flows.settings(warehouse=root, seed=1, sample={"max_new_tokens": 24})
    targets = flows.sample(options, demo_id)
    assert targets.id == sampled["targets_id"]
    assert targets.summary() == sampled
    assert len(targets.samples()) == sampled["samples"]


def test_a_table_for_people(curate: Run, root: Path, sampled: dict[str, Any]) -> None:
    out = curate("sample", *DRAWING, "-w", root).out
    assert f"{sampled['solved']} of {ROWS} rows asked have a target (reference)" in out
    assert f"curate recover {sampled['selection_id']} --targets {sampled['targets_id']}" in out


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
