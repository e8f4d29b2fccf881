"""Batches rows by length under a token budget, pads them on the right, and runs a function on each batch.

Does not access models: a batch is a list of row numbers.
"""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.schemas.defaults import BATCH_TOKENS, OTHER_DEVICES
from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray


def default_batch_tokens(device_type: str) -> int:
    """Return the default number of tokens per forward pass, padding included.

    Parameters
    ----------
    device_type : str
        ``"cpu"``, ``"cuda"``, …, as ``torch.device.type``.
    """
    return BATCH_TOKENS.get(device_type, BATCH_TOKENS[OTHER_DEVICES])


def token_batches(lengths: Sequence[int], rows: Sequence[int], budget: int) -> list[list[int]]:
    """Return `rows` in batches of at most `budget` tokens, padding included, longest first.

    The longest rows come first, so that out-of-memory errors appear early and a batch pads only to similar lengths. A
    row longer than the budget is a batch of its own. Ties are broken by row number.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of every row of the part.
    rows : sequence of int
        The rows to batch.
    budget : int
        Largest number of rows × longest row of a batch.
    """
    batches: list[list[int]] = []
    widest = 0  # of the open batch: its first row, because lengths descend
    # Greedy over descending lengths: a batch is as wide as its first row, so padding never exceeds the budget.
    for row in sorted(rows, key=lambda r: (-lengths[r], r)):
        if batches and widest * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
            widest = lengths[row]
    return batches


def pad_right(sequences: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    """Return token ids of shape (B, longest), int64; shorter rows are filled with id 0 on the right."""
    ids = np.zeros((len(sequences), max(len(sequence) for sequence in sequences)), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    return torch.from_numpy(ids)


def example_chunks(lengths: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Yield ranges [first, last) of consecutive examples with at most `limit` tokens in total.

    Examples are never split; an example longer than the limit is a range of its own.
    """
    first = total = 0
    for index, length in enumerate(lengths):
        if index > first and total + length > limit:
            yield first, index
            first, total = index, 0
        total += length
    if first < len(lengths):
        yield first, len(lengths)


class BatchRunner:
    """Runs batches, several concurrently on a CPU, and halves them when the device runs out of memory.

    Small models spend their time in many small operations. One thread per batch is much faster for them than many
    threads inside each operation, which synchronise after every operation. A batch is then computed by one thread, so
    its results do not depend on the number of threads.

    A reduced budget applies to the current part only. The next part starts with the full budget, so its results do
    not depend on the parts that the same process handled before.

    Parameters
    ----------
    budget : int
        Tokens per batch, padding included.
    workers : int
        Batches computed concurrently; with 1 the operations themselves use all threads.
    """

    def __init__(self, budget: int, workers: int = 1) -> None:
        self._budget = budget
        self._workers = workers
        self._warned = False

    def run(self, lengths: Sequence[int], rows: Sequence[int], work: Callable[[list[int]], None]) -> None:
        """Call `work` with every batch of `rows`; after an out-of-memory error the remaining rows use half the budget.

        Parameters
        ----------
        lengths : sequence of int
            Tokens of every row of the part.
        rows : sequence of int
            The rows to work on.
        work : callable
            Called with the row numbers of each batch, from several threads where there are several workers.

        Raises
        ------
        CurateError
            If a single row does not fit into the device's memory.
        """
        budget, remaining = self._budget, list(rows)
        while remaining:
            batches = token_batches(lengths, remaining, budget)
            remaining = self._attempt(batches, work)
            if not remaining:
                return
            if all(len(batch) == 1 for batch in batches):
                longest = max(lengths[row] for row in remaining)
                raise CurateError(
                    f"one row of {longest} tokens does not fit into the device's memory; "
                    "lower --max-length, or use --dtype bfloat16 or --device cpu"
                )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            # Half of the largest batch that was tried, not of the budget: a budget far above it would change nothing.
            budget = max(1, min(budget, max(lengths[batch[0]] * len(batch) for batch in batches)) // 2)
            self._warn(budget)

    def _attempt(self, batches: Sequence[list[int]], work: Callable[[list[int]], None]) -> list[int]:
        """Work on the batches in order until memory runs out; return the remaining rows."""
        out_of_memory = threading.Event()

        def guarded(batch: list[int]) -> list[int]:
            if out_of_memory.is_set():
                return batch
            try:
                work(batch)
            except torch.OutOfMemoryError:
                out_of_memory.set()
                return batch
            return []

        if self._workers == 1:
            return [row for batch in batches for row in guarded(batch)]
        threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(self._workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return [row for failed in pool.map(guarded, batches) for row in failed]
        finally:
            # set_num_threads(1) in a pool thread also changes the setting of this thread.
            torch.set_num_threads(threads)

    def _warn(self, budget: int) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"out of memory: continuing with batches of {budget} tokens; a smaller --batch-tokens avoids the retry",
                RuntimeWarning,
                stacklevel=4,
            )
