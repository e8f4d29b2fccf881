"""A growing corpus: only new rows are embedded and assigned to clusters, and existing labels do not change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.selectors.text.concepts import key_phrases
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from conftest import Run

TOPICS = ("Sort the letters", "Add the numbers", "Translate the word", "Write a poem about", "Fix the code of")
THINGS = ("rain", "a red apple", "seven", "an old clock", "the river", "winter", "a small boat", "copper", "a letter")
FIVE = ("--clusters", 5)


def rows(start: int, stop: int) -> list[dict[str, str]]:
    return [
        {
            "instruction": f"{TOPICS[i % 5]} {THINGS[i % 9]} {THINGS[i // 9 % 9]} number {i}",
            "input": "",
            "output": f"Answer {i}",
        }
        for i in range(start, stop)
    ]


def write(path: Path, *parts: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for part in parts for row in part))
    return path


def table(artefact: dict[str, Any], noun: Any, name: str = "part") -> Any:
    folder = artefact["folder"]
    return Warehouse(folder.rpartition(f"/{noun}/")[0]).read(noun, artefact["id"], name)


def test_only_new_prompts_are_embedded_with_identical_vectors(curate: Run, tmp_path: Path) -> None:
    small = write(tmp_path / "small.jsonl", rows(0, 60))
    grown = write(tmp_path / "grown.jsonl", rows(60, 64), rows(0, 60), rows(64, 65))
    assert curate("embed", "--corpus", small, "--json").value["facts"]["n_embedded"] == 60
    answer = curate("embed", "--corpus", grown, "--json")
    assert (answer.value["facts"]["n_known"], answer.value["facts"]["n_embedded"]) == (60, 5)
    assert "60 of 65 prompts were embedded before" in answer.err
    anew = curate("embed", "--corpus", grown, "--warehouse", tmp_path / "other", "--json").value
    assert anew["id"] == answer.value["id"]
    assert anew["facts"]["n_embedded"] == 65
    assert table(anew, "embeddings").equals(table(answer.value, "embeddings"))


def test_new_rows_join_clusters_and_existing_labels_do_not_change(curate: Run, tmp_path: Path) -> None:
    small = write(tmp_path / "small.jsonl", rows(0, 200))
    grown = write(tmp_path / "grown.jsonl", rows(200, 230), rows(0, 200))
    first = curate("cluster", *FIVE, "--corpus", small, "--json").value
    answer = curate("cluster", *FIVE, "--corpus", grown, "--json")
    second = answer.value
    assert "30 new rows joined the clusters of" in answer.err
    assert (second["facts"]["n_new"], second["facts"]["n_clusters"]) == (30, first["facts"]["n_clusters"])
    old, new = table(first, "clusters").to_pylist(), table(second, "clusters").to_pylist()
    by_id = {row["example_id"]: row for row in new}
    stays = ("cluster", "membership", "diffusion_x", "diffusion_y", "concepts")
    assert all(by_id[row["example_id"]][name] == row[name] for row in old for name in stays)
    # Concepts of new rows are the key phrases of their texts, with the ids that old rows use.
    phrases = table(second, "clusters", "concepts")["phrase"].to_pylist()
    before = table(first, "clusters", "concepts")["phrase"].to_pylist()
    assert phrases[: len(before)] == before
    assert len(set(phrases)) == len(phrases)
    for row, text in zip(new[:30], rows(200, 230), strict=True):
        assert row["concepts"] == sorted(row["concepts"])
        assert {phrases[concept] for concept in row["concepts"]} == set(key_phrases(text["instruction"]))
    sizes = {row["cluster"]: row["size"] for row in table(second, "clusters", "terms").to_pylist()}
    assert sizes == {k: sum(row["cluster"] == k for row in new) for k in sizes}
    # The same corpus again gives the same artefact; a larger corpus grows from the largest earlier one.
    assert curate("cluster", *FIVE, "--corpus", grown, "--json").value["id"] == second["id"]
    third = write(tmp_path / "third.jsonl", rows(0, 240))
    artefact = curate("cluster", *FIVE, "--corpus", third, "--json").value
    assert (artefact["facts"]["n_new"], artefact["facts"]["n_grown"]) == (10, 40)
    assert {row["example_id"]: row["cluster"] for row in table(artefact, "clusters").to_pylist()}.items() >= {
        row["example_id"]: row["cluster"] for row in new
    }.items()
    # A new fit is a new artefact, which is then preferred over the grown one.
    refit = curate("cluster", *FIVE, "--corpus", grown, "--refit", "--json").value
    assert refit["id"] not in (first["id"], second["id"])
    assert "n_new" not in refit["facts"]
    assert curate("cluster", *FIVE, "--corpus", grown, "--json").value["id"] == refit["id"]


def test_a_corpus_that_outgrew_its_clusters_or_lost_rows_is_clustered_again(curate: Run, tmp_path: Path) -> None:
    curate("cluster", *FIVE, "--corpus", write(tmp_path / "a.jsonl", rows(0, 60)), "--json")
    for name, parts in (("outgrown", rows(0, 91)), ("lost", rows(1, 70))):
        answer = curate("cluster", *FIVE, "--corpus", write(tmp_path / f"{name}.jsonl", parts), "--json")
        assert "joined" not in answer.err
        assert answer.value["facts"]["n_fitted"] == len(parts)


def test_rows_from_elsewhere_are_reported_as_drift(curate: Run, tmp_path: Path) -> None:
    small = write(tmp_path / "small.jsonl", rows(0, 200))
    foreign = [
        {"instruction": f"Quantum chromodynamics lattice estimate {i} of hadron masses", "input": "", "output": "x"}
        for i in range(40)
    ]
    curate("cluster", *FIVE, "--corpus", small)
    answer = curate("cluster", *FIVE, "--corpus", write(tmp_path / "grown.jsonl", rows(0, 200), foreign), "--json")
    assert answer.value["facts"]["drift"]["drifted"]
    assert "curate cluster --refit" in answer.err
    assert np.isclose(answer.value["facts"]["drift"]["far_share"], answer.value["facts"]["n_grown_far"] / 40)


@pytest.mark.parametrize("method", ["donod", "k-center"])
def test_a_selection_of_a_grown_corpus_uses_the_grown_clusters(
    curate: Run, tmp_path: Path, tiny: tuple[Path, Path], method: str
) -> None:
    small = write(tmp_path / "small.jsonl", rows(0, 60))
    grown = write(tmp_path / "grown.jsonl", rows(0, 66))
    curate("cluster", *FIVE, "--corpus", small)
    options = ("--stratify", "clusters") if method == "donod" else ()
    artefact = curate(
        "select",
        "--corpus",
        grown,
        "--compressed",
        tiny[1],
        "--method",
        method,
        *options,
        *FIVE,
        "--budget",
        6,
        "--json",
    ).value
    assert artefact["n_kept"] == 6


def test_vectors_of_another_precision_are_not_used_again(curate: Run, tmp_path: Path) -> None:
    small = write(tmp_path / "small.jsonl", rows(0, 20))
    curate("embed", "--corpus", small)
    artefact = curate("embed", "--corpus", small, "--encoder-dtype", "bfloat16", "--json").value
    assert (artefact["facts"]["n_known"], artefact["facts"]["n_embedded"]) == (0, 20)


def test_a_non_finite_vector_is_reported_with_its_example(curate: Run, tmp_path: Path) -> None:
    small = write(tmp_path / "small.jsonl", rows(0, 20))
    artefact = curate("embed", "--corpus", small, "--json").value
    (part,) = sorted(Path(artefact["folder"]).glob("part-*.parquet"))
    stored = pq.read_table(part)
    values = stored["embedding"].combine_chunks().flatten().to_numpy().copy()
    values[7 * 384 + 5] = np.nan
    broken = pa.FixedSizeListArray.from_arrays(pa.array(values), 384)
    pq.write_table(stored.set_column(1, stored.schema.field(1), broken), part)
    answer = curate("cluster", "--corpus", small, "--no-verify")
    assert answer.code == 3
    assert stored["example_id"][7].as_py() in answer.err
