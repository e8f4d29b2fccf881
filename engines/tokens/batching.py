"""How rows become batches: length-sorted, by a budget of tokens, padded on the right, and run.

Knows nothing of models: a batch is a list of row numbers, and what is done with it is an argument.
"""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from curate.schemas.errors import CurateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray


def token_batches(lengths: Sequence[int], rows: Sequence[int], budget: int) -> list[list[int]]:
    """Return `rows` in batches of at most `budget` tokens, padding counted, longest first.

    Longest first, so that a lack of memory shows at once and padding stays within one batch's spread of lengths. A
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
    widest = 0
    for row in sorted(rows, key=lambda r: (-lengths[r], r)):
        if batches and widest * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
            widest = lengths[row]
    return batches


def pad_right(sequences: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    """Return token ids (B, longest), int64, shorter rows filled with id 0 on the right."""
    ids = np.zeros((len(sequences), max(len(sequence) for sequence in sequences)), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
    return torch.from_numpy(ids)


def whole_chunks(lengths: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Yield ranges [first, last) of consecutive examples that have at most `limit` tokens together.

    An example longer than the limit is a range of its own.
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
    """Runs batches, several at a time on a CPU, and with smaller ones when the device runs out of memory.

    Small models spend their time in many small operations, which threads speed up far better from outside, a batch
    each, than from inside, where they wait for each other after every operation. A batch then is computed by one
    thread, so that its numbers do not depend on how many there are.

    A smaller budget holds for the rest of the part only: the next part starts with the full one, so that its numbers
    do not depend on the parts that the same process happened to do before.

    Parameters
    ----------
    budget : int
        Tokens per batch, padding counted.
    workers : int
        Batches computed at the same time; with 1 the operations themselves use all threads.
    """

    def __init__(self, budget: int, workers: int = 1) -> None:
        self._budget = budget
        self._workers = workers
        self._warned = False

    def run(self, lengths: Sequence[int], rows: Sequence[int], work: Callable[[list[int]], None]) -> None:
        """Call `work` with every batch of `rows`; once memory runs out, all that is left goes in batches of half.

        Raises
        ------
        CurateError
            When a single row does not fit.
        """
        budget, left = self._budget, list(rows)
        while left:
            batches = token_batches(lengths, left, budget)
            left = self._attempt(batches, work)
            if not left:
                return
            if all(len(batch) == 1 for batch in batches):
                raise CurateError(
                    f"one row of {max(lengths[row] for row in left)} tokens does not fit into the device's memory; "
                    "lower --max-length, or use --dtype bfloat16 or --device cpu"
                )
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            budget = max(1, min(budget, max(lengths[batch[0]] * len(batch) for batch in batches)) // 2)
            self._warn(budget)

    def _attempt(self, batches: Sequence[list[int]], work: Callable[[list[int]], None]) -> list[int]:
        """Work on the batches in order until memory runs out; return the rows that are left."""
        full = threading.Event()

        def guarded(batch: list[int]) -> list[int]:
            if full.is_set():
                return batch
            try:
                work(batch)
            except torch.OutOfMemoryError:
                full.set()
                return batch
            return []

        if self._workers == 1:
            return [row for batch in batches for row in guarded(batch)]
        threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(self._workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return [row for left in pool.map(guarded, batches) for row in left]
        finally:
            torch.set_num_threads(threads)

    def _warn(self, budget: int) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"out of memory: going on with batches of {budget} tokens; a smaller --batch-tokens avoids the retry",
                RuntimeWarning,
                stacklevel=4,
            )
