"""How much of a random draw stays as a corpus grows, and what the order by digests costs.

Claim: of a tenth of a million rows that grew by 1 %, the draws before and after share at least 0.95 (Jaccard index);
with a permutation of all rows 0.05, as two unrelated draws do. Ordering takes at most 5 s a million rows.

    python benchmarks/growing_draw.py --rows 1000000
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

import numpy as np

from curate.selectors.assessment.overlap import overlap
from curate.selectors.ranking.orders import hashed_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Order = Callable[[NDArray[np.str_], np.random.Generator], NDArray[np.int64]]

BUDGET = 0.1


def permuted_order(example_id: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a permutation of the rows by id, as `uniform` drew before."""
    permuted: NDArray[np.int64] = np.argsort(example_id)[rng.permutation(len(example_id))]
    return permuted


def measure(order: Order, example_id: NDArray[np.str_], old: int) -> dict[str, float]:
    """Return the Jaccard index of a tenth of the first `old` rows and a tenth of all, and the seconds of the latter."""
    kept = np.zeros((2, len(example_id)), dtype=np.bool_)
    seconds = 0.0
    for corpus, size in enumerate((old, len(example_id))):
        start = time.perf_counter()
        drawn = order(example_id[:size], np.random.default_rng(0))[: int(BUDGET * size)]
        seconds = time.perf_counter() - start
        kept[corpus, drawn] = True
    return {"jaccard": round(float(overlap(*kept)["jaccard"]), 3), "seconds": round(seconds, 3)}


def main() -> None:
    """Print both orders, and the ratio of their times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--growth", type=float, default=0.01)
    options = parser.parse_args()
    # In a corpus ids are in no order, so the rows that came last are anywhere among them by id.
    numbers = np.random.default_rng(1).permutation(options.rows)
    ids = np.array([f"{number:020x}" for number in numbers.tolist()])
    old = int(options.rows / (1 + options.growth))
    found = {"digests": measure(hashed_order, ids, old), "permutation": measure(permuted_order, ids, old)}
    ratio = found["digests"]["seconds"] / max(found["permutation"]["seconds"], 1e-9)
    print(json.dumps({**found, "times_longer": round(ratio, 1)}, indent=2))


if __name__ == "__main__":
    main()
