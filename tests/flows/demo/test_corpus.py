"""The generators of the demo corpus keep what docs/demo.md promises."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from curate.flows.demo import corpus
from curate.flows.demo.capabilities import CAPABILITIES, VELNI


@pytest.fixture(scope="module")
def pool() -> list[corpus.DemoRow]:
    return corpus.pool()


@pytest.fixture(scope="module")
def heldout() -> list[corpus.DemoRow]:
    return corpus.heldout()


def test_the_generators_are_deterministic_and_follow_the_seed() -> None:
    assert corpus.pool(n_rows=800) == corpus.pool(n_rows=800)
    assert corpus.pool(n_rows=800) != corpus.pool(seed=99, n_rows=800)
    assert corpus.heldout(per_capability=5) == corpus.heldout(per_capability=5)


def test_sizes_and_paraphrases(pool: list[corpus.DemoRow], heldout: list[corpus.DemoRow]) -> None:
    assert 6000 <= len(pool) <= 10_000
    assert len(heldout) >= 1500
    assert len(CAPABILITIES) >= 8
    for capability in CAPABILITIES.values():
        assert len(set(capability.instructions)) == len(capability.instructions) >= 8
    wordings = [wording for capability in CAPABILITIES.values() for wording in capability.instructions]
    assert len(set(wordings)) == len(wordings)
    assert len(set(VELNI.values())) == len(VELNI) >= 120


def test_pool_training_and_heldout_share_no_question(pool: list[corpus.DemoRow], heldout: list[corpus.DemoRow]) -> None:
    tested = {(row.capability, row.question) for row in heldout}
    assert len(tested) == len(heldout)
    assert not tested & {(row.capability, row.question) for row in pool}
    stream = corpus.training_rows()
    assert not tested & {(row.capability, row.question) for row in (next(stream) for _ in range(5000))}


def test_heldout_rows_and_training_rows_are_clean(heldout: list[corpus.DemoRow]) -> None:
    assert all(row.output == row.clean_answer and not row.label_noise for row in heldout)


def test_no_single_word_identifies_a_capability(pool: list[corpus.DemoRow]) -> None:
    sizes = Counter(row.capability for row in pool)
    holders: dict[str, Counter[str]] = defaultdict(Counter)
    for row in pool:
        text = f"{row.instruction} {row.input}".lower()
        for word in {*text.split(), *re.findall(r"\w+|[^\w\s]", text)}:
            holders[word][row.capability] += 1
    for word, counts in holders.items():
        for name, n in counts.items():
            precision, recall = n / counts.total(), n / sizes[name]
            assert min(precision, recall) <= 0.9, (word, name, precision, recall)
