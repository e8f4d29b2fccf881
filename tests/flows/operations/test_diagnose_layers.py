"""``curate diagnose layers`` from the command line to the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus

from curate.flows.operations.diagnose_layers import rank_correlations

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]


@pytest.fixture
def command(tiny: tuple[Path, Path], tmp_path: Path) -> list[object]:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=30)
    return ["diagnose", "layers", tiny[1], "--corpus", corpus, "-w", tmp_path / "w", "--rows", 8]


def test_layers_are_measured_once_and_queryable(curate: Run, command: list[object], tmp_path: Path) -> None:
    first = curate(*command, "--json")
    assert first.code == 0, first.err
    assert first.value["rows"] == 8
    assert [set(layer) for layer in first.value["layers"]] == [{"layer", "influence", "change", "angle"}] * 2
    assert curate(*command, "--json").value["diagnosis_id"] == first.value["diagnosis_id"]
    assert Path(first.value["picture"]).read_bytes().startswith(b"\x89PNG")
    query = "SELECT place, value FROM diagnoses WHERE metric = 'change' ORDER BY place"
    rows = curate("sql", query, "-w", tmp_path / "w", "--json").value
    assert [row["value"] for row in rows] == [layer["change"] for layer in first.value["layers"]]
    kept = curate("gc", "--delete", "-w", tmp_path / "w", "--json")
    assert kept.code == 0, kept.err
    assert curate(*command, "--json").value == first.value


def test_leave_one_out_and_an_original_are_other_diagnoses(
    curate: Run, command: list[object], tiny: tuple[Path, Path]
) -> None:
    options: list[list[object]] = [[], ["--leave-one-out"], ["--original", tiny[0]], ["--seed", 1]]
    results = [curate(*command, *more, "--json").value for more in options]
    assert len({result["diagnosis_id"] for result in results}) == 4
    assert "loss_without" in results[1]["layers"][0]
    assert results[2]["layers"][0]["error_from_original"] > 0


def test_the_table_names_what_larger_means(curate: Run, command: list[object]) -> None:
    result = curate(*command)
    assert result.code == 0, result.err
    assert "influence" in result.out
    assert "larger = the layer matters more" in result.out


def test_without_a_corpus_it_says_what_to_pass(curate: Run, tiny: tuple[Path, Path], tmp_path: Path) -> None:
    result = curate("diagnose", "layers", tiny[1], "-w", tmp_path / "w")
    assert result.code == 2
    assert "pass --corpus FILE" in result.err


def test_rank_correlations_are_those_of_the_ranks() -> None:
    layers = [
        {"layer": index, "change": value, "influence": -value, "loss_without": value**3}
        for index, value in enumerate([1.0, 3.0, 2.0, 5.0])
    ]
    assert rank_correlations(layers) == pytest.approx({"change": 1.0, "influence": -1.0})
    assert rank_correlations(layers[:2]) == {}
