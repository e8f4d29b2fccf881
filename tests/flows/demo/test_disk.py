"""The shipped files are what the generators give, and the ground truth describes them row by row."""

from __future__ import annotations

import importlib
from collections import defaultdict

import pyarrow.parquet as pq
import pytest

from curate.flows import demo
from curate.flows.demo import corpus, disk


@pytest.fixture(scope="module")
def pool() -> list[corpus.DemoRow]:
    return corpus.pool()


@pytest.fixture(scope="module")
def heldout() -> list[corpus.DemoRow]:
    return corpus.heldout()


def test_the_shipped_files_are_what_the_generators_give(
    pool: list[corpus.DemoRow], heldout: list[corpus.DemoRow]
) -> None:
    assert disk.read_rows(demo.pool_path()) == [row.alpaca() for row in pool]
    assert disk.read_rows(demo.heldout_path()) == [row.alpaca() for row in heldout]
    assert pq.read_table(demo.truth_path()).equals(disk.truth_table(pool))
    assert pq.read_table(demo.heldout_truth_path())["capability"].to_pylist() == [row.capability for row in heldout]


def test_packed_bytes_are_deterministic_and_contain_no_time(pool: list[corpus.DemoRow]) -> None:
    packed = disk.packed(pool[:50])
    assert packed == disk.packed(pool[:50])
    assert packed[4:8] == b"\0\0\0\0"


def test_truth_is_aligned_with_the_pool() -> None:
    seen: dict[tuple[str, ...], int] = {}
    answers: dict[tuple[str, str], set[str]] = defaultdict(set)
    rows = disk.read_rows(demo.pool_path())
    truth = pq.read_table(demo.truth_path()).to_pylist()
    assert [entry["row"] for entry in truth] == list(range(1, len(rows) + 1))
    for row, entry in zip(rows, truth, strict=True):
        assert entry["usable"] == bool(row["output"])
        assert entry["label_noise"] == (entry["usable"] and row["output"] != entry["clean_answer"])
        first = seen.setdefault(tuple(row.values()), entry["row"])
        if entry["usable"]:
            assert entry["duplicate_of"] == (first if first != entry["row"] else None)
            answers[row["instruction"], row["input"]].add(row["output"])
        assert entry["duplicate"] == (entry["duplicate_of"] is not None)
    for row, entry in zip(rows, truth, strict=True):
        assert entry["contradiction"] == (len(answers[row["instruction"], row["input"]]) > 1)


def test_every_contradiction_has_one_right_half() -> None:
    halves: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row, entry in zip(disk.read_rows(demo.pool_path()), pq.read_table(demo.truth_path()).to_pylist(), strict=True):
        if entry["contradiction"]:
            halves[row["instruction"], row["input"]].append(entry["label_noise"])
    assert {tuple(sorted(noise)) for noise in halves.values()} == {(False, True)}


def test_the_question_matches_the_alpaca_reader() -> None:
    read_source = importlib.import_module("curate.storage.formats").read_source
    rows = disk.read_rows(demo.pool_path())
    read = list(read_source(str(demo.pool_path()), None, None, None))
    assert len(read) == len(rows)
    for row, example in zip(rows, read, strict=True):
        if row["output"]:
            assert tuple(example.turns) == disk.conversation_of(row)
        else:
            assert example.reason
