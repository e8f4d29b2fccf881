"""How rows become batches: length-sorted, by a budget of tokens, padded on the right, halved when memory runs out.

Knows nothing of models: a batch is a list of row numbers, and what is done with it is an argument.
"""

from __future__ import annotations

import warnings
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


class HalvingRunner:
    """Runs batches, halving the budget when the device runs out of memory; warns once in its life.

    A smaller budget holds for the rest of the part only: the next part starts with the full one, so that its numbers
    do not depend on the parts that the same process happened to do before.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._warned = False

    def run(self, lengths: Sequence[int], rows: Sequence[int], work: Callable[[list[int]], None]) -> None:
        """Call `work` with every batch of `rows`; a batch that fails for memory is cut smaller and done again.

        Raises
        ------
        CurateError
            When a single row does not fit.
        """
        budget = self.budget
        pending = token_batches(lengths, rows, budget)[::-1]
        while pending:
            batch = pending.pop()
            try:
                work(batch)
                continue
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise CurateError(
                        f"one row of {lengths[batch[0]]} tokens does not fit into the device's memory; "
                        "lower --max-length, or use --dtype bfloat16 or --device cpu"
                    ) from error
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            budget = max(1, min(budget, lengths[batch[0]] * len(batch)) // 2)
            self._warn(budget)
            pending = token_batches(lengths, [row for left in (batch, *pending) for row in left], budget)[::-1]

    def _warn(self, budget: int) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"out of memory: going on with batches of {budget} tokens; a smaller --batch-tokens avoids the retry",
                RuntimeWarning,
                stacklevel=3,
            )
