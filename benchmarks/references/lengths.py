"""Lengths of real or simulated instruction rows, in tokens of a Llama-like vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHARACTERS_PER_TOKEN = 4.0
PROMPT, RESPONSE = (4.27, 0.50), (4.93, 1.38)
"""Mean and deviation of the logarithm of characters in alpaca52k's prompts and responses."""


def alpaca_lengths(rows: int, corpus: str | None = None, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the token counts of `rows` prompts and of their responses, each ≥ 1.

    Parameters
    ----------
    rows : int
    corpus : str, optional
        A Parquet file with the columns ``instruction``, ``input`` and ``output``, of which `rows` are drawn; without
        it, log-normal draws with alpaca52k's means and deviations.
    seed : int
    """
    rng = np.random.default_rng(seed)
    if corpus is None:
        sides = [rng.lognormal(*PROMPT, rows), np.minimum(rng.lognormal(*RESPONSE, rows), 4096)]
    else:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        table = pq.read_table(corpus, columns=["instruction", "input", "output"])
        size = [pc.utf8_length(table[name]).fill_null(0).to_numpy() for name in table.column_names]
        drawn = np.sort(rng.permutation(table.num_rows)[:rows])
        sides = [(size[0] + size[1])[drawn], size[2][drawn]]
    prompt, response = (np.maximum(1, np.rint(side / CHARACTERS_PER_TOKEN)).astype(np.int64) for side in sides)
    return prompt, response
