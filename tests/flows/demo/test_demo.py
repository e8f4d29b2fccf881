"""The demo corpus keeps what docs/demo.md promises, and the shipped model is worth compressing."""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from documents import ROOT

from curate.flows import demo
from curate.flows.demo import corpus, disk
from curate.flows.demo.capabilities import CAPABILITIES, VELNI
from curate.flows.demo.report import BEGIN, END, exact_match, fault_shares, measure, rewrite
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DOCUMENT = ROOT / "docs" / "demo.md"


@pytest.fixture(scope="module")
def rows() -> list[corpus.Row]:
    return corpus.pool()


@pytest.fixture(scope="module")
def apart() -> list[corpus.Row]:
    return corpus.heldout()


def test_the_generators_are_deterministic_and_follow_the_seed() -> None:
    assert corpus.pool(n_rows=800) == corpus.pool(n_rows=800)
    assert corpus.pool(n_rows=800) != corpus.pool(seed=99, n_rows=800)
    assert corpus.heldout(per_capability=5) == corpus.heldout(per_capability=5)


def test_the_shipped_files_are_what_the_generators_make(rows: list[corpus.Row], apart: list[corpus.Row]) -> None:
    assert disk.read_rows(demo.pool_path()) == [row.alpaca() for row in rows]
    assert disk.read_rows(demo.heldout_path()) == [row.alpaca() for row in apart]
    assert pq.read_table(demo.truth_path()).equals(disk.truth_table(rows))
    assert pq.read_table(demo.heldout_truth_path())["capability"].to_pylist() == [row.capability for row in apart]


def test_packing_is_deterministic_and_carries_no_time(rows: list[corpus.Row]) -> None:
    packed = disk.packed(rows[:50])
    assert packed == disk.packed(rows[:50])
    assert packed[4:8] == b"\0\0\0\0"


def test_sizes_and_paraphrases(rows: list[corpus.Row], apart: list[corpus.Row]) -> None:
    assert 6000 <= len(rows) <= 10_000
    assert len(apart) >= 1500
    assert len(CAPABILITIES) >= 8
    for capability in CAPABILITIES.values():
        assert len(set(capability.instructions)) == len(capability.instructions) >= 8
    wordings = [wording for capability in CAPABILITIES.values() for wording in capability.instructions]
    assert len(set(wordings)) == len(wordings)
    assert len(set(VELNI.values())) == len(VELNI) >= 120


def test_shares_of_planted_faults(rows: list[corpus.Row]) -> None:
    _, noise, duplicates, contradictions = fault_shares()["all"]
    assert 0.10 <= noise <= 0.20
    assert 0.05 <= duplicates <= 0.10
    assert 0.02 <= contradictions / 2 <= 0.05  # both halves of a pair are marked
    # Noise alone reaches the promised share, without the wrong halves of the contradictions.
    assert sum(row.label_noise and not row.contradiction for row in rows) / len(rows) >= 0.10


def test_truth_is_aligned_with_the_pool() -> None:
    seen: dict[tuple[str, ...], int] = {}
    answers: dict[tuple[str, str], set[str]] = defaultdict(set)
    pool = disk.read_rows(demo.pool_path())
    truth = pq.read_table(demo.truth_path()).to_pylist()
    assert [entry["row"] for entry in truth] == list(range(1, len(pool) + 1))
    for row, entry in zip(pool, truth, strict=True):
        assert entry["usable"] == bool(row["output"])
        assert entry["label_noise"] == (entry["usable"] and row["output"] != entry["clean_answer"])
        first = seen.setdefault(tuple(row.values()), entry["row"])
        if entry["usable"]:
            assert entry["duplicate_of"] == (first if first != entry["row"] else None)
            answers[row["instruction"], row["input"]].add(row["output"])
        assert entry["duplicate"] == (entry["duplicate_of"] is not None)
    for row, entry in zip(pool, truth, strict=True):
        assert entry["contradiction"] == (len(answers[row["instruction"], row["input"]]) > 1)


def test_every_contradiction_has_one_right_half() -> None:
    halves: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for row, entry in zip(disk.read_rows(demo.pool_path()), pq.read_table(demo.truth_path()).to_pylist(), strict=True):
        if entry["contradiction"]:
            halves[row["instruction"], row["input"]].append(entry["label_noise"])
    assert {tuple(sorted(noise)) for noise in halves.values()} == {(False, True)}


def test_pool_training_and_heldout_share_no_question(rows: list[corpus.Row], apart: list[corpus.Row]) -> None:
    tested = {(row.capability, row.question) for row in apart}
    assert len(tested) == len(apart)
    assert not tested & {(row.capability, row.question) for row in rows}
    stream = corpus.training_rows()
    assert not tested & {(row.capability, row.question) for row in (next(stream) for _ in range(5000))}


def test_heldout_rows_and_training_rows_are_clean(apart: list[corpus.Row]) -> None:
    assert all(row.output == row.clean_answer and not row.label_noise for row in apart)


def test_no_single_word_gives_a_capability_away(rows: list[corpus.Row]) -> None:
    sizes = Counter(row.capability for row in rows)
    holders: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        text = f"{row.instruction} {row.input}".lower()
        for word in {*text.split(), *re.findall(r"\w+|[^\w\s]", text)}:
            holders[word][row.capability] += 1
    for word, counts in holders.items():
        for name, n in counts.items():
            precision, recall = n / counts.total(), n / sizes[name]
            assert min(precision, recall) <= 0.9, (word, name, precision, recall)


@pytest.mark.parametrize("name", list(CAPABILITIES))
def test_spoilt_answers_are_wrong_and_look_alike(name: str) -> None:
    capability, rng = CAPABILITIES[name], np.random.default_rng(5)
    for _ in range(400):
        question, answer = capability.draw(rng)
        wrong = capability.spoil(rng, question, answer)
        assert wrong != answer
        assert len(wrong.split()) == len(answer.split())


def test_answers_follow_from_their_questions() -> None:
    rng = np.random.default_rng(3)
    checks: dict[str, Callable[[str], str]] = {
        "arithmetic": lambda q: str(sum(map(int, q.split()))),
        "sorting": lambda q: " ".join(sorted(q.split())),
        "copying": lambda q: q,
        "reversing": lambda q: q[::-1],
        "recall": lambda q: dict((pair[0], pair[1]) for pair in q.split(", ")[0].split())[q[-1]],
        "shifting": lambda q: " ".join("bcdefghijklmnopqrstuvwxyza"[ord(c) - 97] for c in q.split()),
        "lexicon": lambda q: " ".join(VELNI[word] for word in q.split()),
        "majority": lambda q: Counter(q.split()).most_common(1)[0][0],
        "replacing": lambda q: q.split(", ")[0].replace(q[-3], q[-1]),
    }
    for name, check in checks.items():
        for _ in range(100):
            question, answer = CAPABILITIES[name].draw(rng)
            assert check(question) == answer, (name, question)
    for _ in range(100):
        question, answer = CAPABILITIES["json"].draw(rng)
        assert " ".join(str(value) for value in json.loads(answer).values()) == question


def test_the_question_is_what_the_alpaca_reader_makes_of_a_row() -> None:
    read_source = importlib.import_module("curate.storage.formats").read_source
    pool = disk.read_rows(demo.pool_path())
    read = list(read_source(str(demo.pool_path()), None, None, None))
    assert len(read) == len(pool)
    for row, example in zip(pool, read, strict=True):
        if row["output"]:
            assert tuple(example.turns) == disk.conversation_of(row)
        else:
            assert example.reason


def test_the_package_is_small_and_complete() -> None:
    assert demo.data_path().is_dir()
    model = {path.name: path.stat().st_size for path in demo.model_path().iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= set(model)
    assert model["model.safetensors"] <= 10_000_000
    assert sum(path.stat().st_size for path in demo.data_path().glob("*.*")) < 1_000_000


def test_the_shipped_model_answers_most_capabilities() -> None:
    shares = exact_match(demo.model_path(), per_capability=12)
    assert sum(share >= 0.6 for _, share in shares.values()) >= 6, shares


@pytest.mark.slow
def test_compression_hurts_really_and_unevenly_as_documented() -> None:
    lines = measure()
    losses = [line.loss for line in lines if line.dense >= 0.6]
    assert len(losses) >= 6
    assert min(losses) < 0.10
    assert max(losses) > 0.50
    measured = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    for line in lines:
        stated = re.search(rf"^\| {line.capability} \|.*$", measured, re.MULTILINE)
        assert stated, line.capability
        dense, compressed = (float(cell) for cell in stated[0].split("|")[6:8])
        # Another processor may round a tie between two tokens the other way.
        assert abs(dense - line.dense) <= 0.03
        assert abs(compressed - line.compressed) <= 0.03


def test_the_document_states_the_faults_of_the_shipped_pool() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, (n, *shares) in fault_shares().items():
        assert f"| {name} | {n:,} | {' | '.join(f'{share:.1%}' for share in shares)} |" in text


def test_the_report_replaces_only_what_stands_between_the_markers(tmp_path: Path) -> None:
    document = tmp_path / "demo.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rewrite(document, "new")
    assert document.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    document.write_text("no markers")
    with pytest.raises(InputError, match="no pair of lines"):
        rewrite(document, "new")
