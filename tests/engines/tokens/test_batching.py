"""Batches stay within their token budget, hold every row once, and shrink when the device runs out of memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curate.engines.tokens.batching import (
    BatchRunner,
    default_batch_tokens,
    example_chunks,
    pad_right,
    token_batches,
)
from curate.schemas.errors import CurateError

LENGTHS = st.lists(st.integers(1, 50), max_size=30)


@given(LENGTHS, st.integers(1, 200))
def test_every_row_is_in_one_batch_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, range(len(lengths)), budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget
    assert [row for batch in batches for row in batch] == sorted(
        range(len(lengths)), key=lambda row: (-lengths[row], row)
    )


@given(LENGTHS, st.integers(1, 200))
def test_chunks_cover_the_examples_in_order_and_split_none(lengths: list[int], limit: int) -> None:
    chunks = list(example_chunks(lengths, limit))
    assert [row for first, last in chunks for row in range(first, last)] == list(range(len(lengths)))
    for first, last in chunks:
        assert last - first == 1 or sum(lengths[first:last]) <= limit


def test_shorter_rows_are_padded_on_the_right() -> None:
    assert pad_right([np.array([1, 2, 3]), np.array([4])]).tolist() == [[1, 2, 3], [4, 0, 0]]


def test_training_takes_smaller_batches_than_scoring_on_a_gpu() -> None:
    assert (default_batch_tokens("cpu"), default_batch_tokens("cuda")) == (4096, 32768)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_halved_until_they_fit(workers: int) -> None:
    lengths, finished, sizes = [4] * 16, [], []

    def work(batch: list[int]) -> None:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        finished.extend(batch)

    runner = BatchRunner(64, workers)
    with pytest.warns(RuntimeWarning, match="out of memory: continuing with batches of 32 tokens"):
        runner.run(lengths, range(16), work)
    assert sorted(finished) == list(range(16))
    assert max(sizes) == 16
    # The next part starts with the full budget again.
    sizes.clear()
    runner.run(lengths, range(16), work)
    assert max(sizes) == 16


def test_a_single_row_that_does_not_fit_is_an_error() -> None:
    def work(batch: list[int]) -> None:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(CurateError, match="one row of 9 tokens does not fit"):
        BatchRunner(8).run([3, 9], [1], work)
