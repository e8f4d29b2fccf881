"""Which rows pilot recoveries train on and which they are measured on, cluster by cluster.

Knows nothing of models; `curate.selectors.budgets.gain_curves` makes of the losses what a budget is divided by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.ranking.orders import worst_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.selection import Pool

LARGEST = 96
"""Most rows that a pilot is trained on."""
FACTOR, N_SIZES = 3, 3
"""Each of the pilots of a cluster has a third of the rows of the next: three points for two parameters."""
HELDOUT = 128
"""Most rows that the pilots of a cluster are measured on."""
UNLIKELY = 0.30
"""Share of a cluster, what the original model finds least likely, that nothing is measured on."""
LEAST = 36
"""Usable rows from which a cluster has pilots of its own: half of them are 18, hence sizes 2, 6 and 18."""


@dataclass(frozen=True)
class PilotRows:
    """The pilots of one cluster."""

    cluster: int
    rows: NDArray[np.int64]
    """Pool rows of the largest pilot; a smaller one takes the first of them."""
    sizes: tuple[int, ...]
    """Rows of each pilot, ascending."""
    heldout: NDArray[np.int64]
    """Pool rows to measure on; none of `rows`."""


def draw_pilots(pool: Pool, seed: int) -> tuple[list[PilotRows], dict[int, int]]:
    """Return the pilots of every cluster that is large enough, and the number of usable rows of every cluster.

    Parameters
    ----------
    pool : Pool
        Needs clusters, token counts and ``nll_original``; a row is usable if it is eligible and that signal finite.
    seed : int
        With the cluster's number, of the draw.

    Notes
    -----
    Rows to train on are drawn from the whole cluster, as a selection's would be, wrong answers among them. Rows to
    measure on are drawn from what is left without the `UNLIKELY` share that the original model finds least likely:
    what a model never could do is not there to be recovered, and a wrong answer that becomes a little less surprising
    weighs more in a mean than a right one that comes back.
    """
    if pool.cluster is None:
        raise ValueError("a pool without clusters has no pilots")
    nll = pool.signals["nll_original"]
    usable = np.flatnonzero(pool.eligible & np.isfinite(nll) & (pool.n_response_tokens > 0))
    usable = usable[np.argsort(pool.example_id[usable], kind="stable")]
    stratum_of = pool.cluster[usable]
    counts = {int(number): int((stratum_of == number).sum()) for number in np.unique(pool.cluster)}
    drawn = [
        _draw(usable[stratum_of == number], nll, number, seed) for number, count in counts.items() if count >= LEAST
    ]
    return drawn, counts


def pilot_sizes(usable: int) -> tuple[int, ...]:
    """Return the rows of each pilot of a cluster of `usable` rows, ascending; none where it is too small."""
    if usable < LEAST:
        return ()
    most = min(LARGEST, usable // 2)
    return tuple(most // FACTOR**power for power in reversed(range(N_SIZES)))


def _draw(members: NDArray[np.int64], nll: NDArray[np.float64], cluster: int, seed: int) -> PilotRows:
    unlikely = worst_share(nll[members], UNLIKELY)
    order = np.random.default_rng([seed, cluster]).permutation(len(members))
    sizes = pilot_sizes(len(members))
    rest = order[sizes[-1] :]
    likely = rest[~unlikely[rest]]
    return PilotRows(cluster, members[order[: sizes[-1]]], sizes, members[likely[:HELDOUT]])
