"""Near-duplicates and evaluation questions are excluded from a selection, and the ledger names the repeated row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from curate.schemas.corpus import Turn, example_id
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run

QUESTION = "If a train leaves the station at nine and travels for three hours, when does it arrive?"
SUBJECTS = "otter copper violin glacier harbour lantern meadow saffron thunder walnut".split()


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = [json.dumps({"instruction": ask, "input": "", "output": answer}) for ask, answer in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def rows() -> list[tuple[str, str]]:
    """Ten distinct texts, a near-duplicate of one of them, and a row that contains the evaluation question."""
    own = [
        (
            f"Write three sentences about the {one} and its uses in the {other} trade",
            f"The {one} is a well known thing. It was used with every {other} by people of {one} towns. "
            f"Nowadays no {other} is sold without a {one}, which makes the {one} very dear.",
        )
        for one, other in zip(SUBJECTS, [*SUBJECTS[1:], SUBJECTS[0]], strict=True)
    ]
    ask, answer = own[3]
    return [*own, (ask, answer.replace("very dear", "rather dear")), ("Please help me. " + QUESTION, "At noon.")]


def ids(texts: list[tuple[str, str]]) -> list[str]:
    return [example_id((Turn("user", ask), Turn("assistant", answer))) for ask, answer in texts]


def ledger(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    folder = summary["artefact"]
    table = Warehouse(folder.rpartition("/selection/")[0]).read("selection", summary["selection_id"])
    return {row["example_id"]: row for row in table.to_pylist()}


def test_lexical_near_duplicates_leave_one_row_and_name_it(curate: Run, tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", rows())
    plain = curate("select", "--corpus", corpus, "--method", "uniform", "--budget", "100%", "--json").value
    assert plain["n_kept"] == 12
    summary = curate(
        "select",
        "--corpus",
        corpus,
        "--method",
        "uniform",
        "--budget",
        "100%",
        "--near-duplicates",
        "lexical",
        "--json",
    ).value
    kept, dropped = sorted((ids(rows())[3], ids(rows())[10]))
    rows_by_id = ledger(summary)
    assert summary["reasons"] == {"duplicate:lexical": 1, "selected": 11}
    assert (rows_by_id[dropped]["reason"], rows_by_id[dropped]["related_id"]) == ("duplicate:lexical", kept)
    assert 0.8 <= rows_by_id[dropped]["overlap"] < 1
    assert rows_by_id[kept]["kept"]
    assert rows_by_id[kept]["overlap"] is None
    pinned = curate(
        "select", "--corpus", corpus, "--method", "uniform", "--budget", "100%", "--near-duplicates", "lexical",
        "--pin", dropped, "--json",
    ).value  # fmt: skip
    assert ledger(pinned)[kept]["related_id"] == dropped


def test_rows_with_an_evaluation_question_are_left_out_and_name_it(curate: Run, tmp_path: Path) -> None:
    corpus = write(tmp_path / "c.jsonl", rows())
    held_out = write(tmp_path / "eval.jsonl", [("Is water wet?", "Yes."), (QUESTION, "At twelve.")])
    arguments = ("select", "--corpus", corpus, "--method", "uniform", "--budget", "100%", "--json")
    summary = curate(*arguments, "--decontaminate", held_out).value
    row = ledger(summary)[ids(rows())[11]]
    assert (row["reason"], row["related_id"]) == ("contaminated", ids([(QUESTION, "At twelve.")])[0])
    assert row["overlap"] == 1
    assert summary["reasons"] == {"contaminated": 1, "selected": 11}
    # Another content of that file is another selection.
    held_out = write(tmp_path / "eval.jsonl", [("Is water wet?", "Yes.")])
    again = curate(*arguments, "--decontaminate", held_out).value
    assert again["selection_id"] != summary["selection_id"]
    assert again["n_kept"] == 12


def test_semantic_near_duplicates_run_the_required_clustering(curate: Run, tmp_path: Path) -> None:
    twice = [*rows()[:10], (rows()[3][0] + ".", "Something else entirely, said in other words.")]
    corpus = write(tmp_path / "c.jsonl", twice)
    summary = curate(
        "select", "--corpus", corpus, "--method", "uniform", "--budget", "100%", "--near-duplicates", "semantic",
        "--clusters", 2, "--json",
    ).value  # fmt: skip
    kept, dropped = sorted((ids(twice)[3], ids(twice)[10]))
    assert {"clusters", "embeddings"} <= set(summary["inputs"])
    assert ledger(summary)[dropped]["related_id"] == kept
    assert ledger(summary)[dropped]["reason"] == "duplicate:semantic"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--near-duplicates", "fuzzy"), 2, "'lexical' or 'semantic'"),
        (("--decontaminate", "absent.jsonl"), 3, "absent.jsonl"),
    ],
)
def test_invalid_screening_options_are_refused(
    curate: Run, corpus: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    answer = curate("select", "--corpus", corpus, "--method", "uniform", *arguments)
    assert answer.code == code
    assert message in answer.err
