"""``curate diagnose experts`` from the command line to the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from corpora import write_corpus
from references.compress import save_tiny, tiny_model
from references.experts import MIXTURES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def command(tmp_path: Path) -> list[object]:
    mixture = save_tiny(tiny_model(MIXTURES["qwen2"]()), tmp_path / "mixture")
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=30)
    return ["diagnose", "experts", mixture, "--corpus", corpus, "-w", tmp_path / "w", "--rows", 4]


def test_experts_are_measured_once_and_queryable(curate: Run, command: list[object], tmp_path: Path) -> None:
    first = curate(*command, "--json")
    assert first.code == 0, first.err
    assert first.value["rows"] == 4
    assert first.value["shared_experts"] is True
    assert [router["layer"] for router in first.value["routers"]] == [0, 1, 2]
    assert curate(*command, "--json").value == first.value
    query = "SELECT expert, value, cluster, block FROM diagnoses WHERE metric = 'usage' AND place = 1 ORDER BY expert"
    rows = curate("sql", query, "-w", tmp_path / "w", "--json").value
    assert [row["value"] for row in rows] == [expert["usage"] for expert in first.value["routers"][1]["experts"]]
    assert {(row["cluster"], row["block"]) for row in rows} == {(None, "mlp")}


def test_each_cluster_is_measured_on_its_own_rows(curate: Run, command: list[object]) -> None:
    result = curate(*command, "--by", "cluster", "--clusters", 3, "--json")
    assert result.code == 0, result.err
    clusters = result.value["clusters"]
    assert [one["cluster"] for one in clusters] == [0, 1, 2]
    assert all(1 <= one["rows"] <= 4 for one in clusters)
    assert sum(one["tokens"] for one in clusters) == result.value["tokens"]
    assert len(result.value["routers"]) == 9
    assert result.value["diagnosis_id"] != curate(*command, "--json").value["diagnosis_id"]


def test_the_table_names_shared_experts(curate: Run, command: list[object]) -> None:
    result = curate(*command)
    assert result.code == 0, result.err
    assert "effective" in result.out
    assert "shared expert, which is not counted" in result.out


def test_a_dense_model_is_refused(curate: Run, command: list[object], tiny: tuple[Path, Path]) -> None:
    result = curate(*command[:2], tiny[0], *command[3:])
    assert result.code == 4
    assert "'llama' is dense, it has no experts" in result.err


def test_without_a_corpus_it_says_what_to_pass(curate: Run, command: list[object]) -> None:
    result = curate(*command[:3], *command[5:])
    assert result.code == 2
    assert "pass --corpus FILE" in result.err
