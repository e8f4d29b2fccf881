"""Draws the rows that pilot recoveries train on and are measured on, cluster by cluster.

Source: ours. `curate.selectors.budgets.gain_curves` fits a curve to the losses, by which
`curate.selectors.budgets.recoverability` divides the budget.
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
"""Largest number of rows that a pilot trains on."""
FACTOR, N_SIZES = 3, 3
"""Each pilot of a cluster has a third of the rows of the next: three points for the two parameters of a curve."""
HELDOUT = 128
"""Largest number of rows that the pilots of a cluster are measured on."""
UNLIKELY = 0.30
"""Share of a cluster, least likely under the original model, that is never measured on."""
LEAST = 36
"""Smallest number of usable rows of a cluster with its own pilots: half of them are 18, so sizes 2, 6 and 18."""


@dataclass(frozen=True)
class PilotRows:
    """The pilots of one cluster."""

    cluster: int
    rows: NDArray[np.int64]
    """Pool rows of the largest pilot; a smaller one takes the first of them, so that pilots are nested."""
    sizes: tuple[int, ...]
    """Rows of each pilot, ascending."""
    heldout: NDArray[np.int64]
    """Pool rows to measure on, disjoint from `rows`."""


def draw_pilots(pool: Pool, seed: int) -> tuple[list[PilotRows], dict[int, int]]:
    """Return the pilots of every cluster that is large enough, and the number of usable rows of every cluster.

    Parameters
    ----------
    pool : Pool
        Needs clusters, token counts and ``nll_original``; a row is usable if it is eligible and that signal finite.
    seed : int
        Seed of the draw, with the cluster's number.

    Notes
    -----
    Training rows are drawn from the whole cluster, as those of a selection would be, wrong answers included. Held-out
    rows are drawn from the remaining rows without the `UNLIKELY` share that the original model finds least likely: what
    the original could not do cannot be recovered, and a wrong answer that becomes slightly less surprising would weigh
    more in a mean loss than a right one that is recovered.
    """
    if pool.cluster is None:
        raise ValueError("a pool without clusters has no pilots")
    nll = pool.signals["nll_original"]
    usable = np.flatnonzero(pool.eligible & np.isfinite(nll) & (pool.n_response_tokens > 0))
    usable = usable[np.argsort(pool.example_id[usable], kind="stable")]
    own_cluster = pool.cluster[usable]
    counts = {int(number): int((own_cluster == number).sum()) for number in np.unique(pool.cluster)}
    drawn = [
        _draw(usable[own_cluster == number], nll, number, seed) for number, count in counts.items() if count >= LEAST
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
    # One generator per cluster: a new cluster does not change the draws of the others.
    order = np.random.default_rng([seed, cluster]).permutation(len(members))
    sizes = pilot_sizes(len(members))
    not_trained = order[sizes[-1] :]
    likely = not_trained[~unlikely[not_trained]]
    return PilotRows(cluster, members[order[: sizes[-1]]], sizes, members[likely[:HELDOUT]])
