"""Orders of rows: best first, worst share, PASER's efficiency score and its round-robin over clusters.

Every function but `hashed_order` takes rows in order of example id and breaks ties by that order, so that no order
depends on the order of the corpus.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def best_first(score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions of `score` (shape (m,), finite) from largest to smallest, ties by position."""
    return np.argsort(-score, kind="stable")


def hashed_order(example_id: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the positions of rows in a random order in which no row depends on the others.

    Parameters
    ----------
    example_id : ndarray of shape (m,)
        Distinct ids, in any order.
    rng : numpy.random.Generator
        Gives one key, whatever m is.

    Returns
    -------
    ndarray of shape (m,), int64
        By increasing digest of key and id. Two rows have the same order in every set that holds both, so the first rows
        of a corpus that grew by a share p are those of the old one but for about p of them. This is bottom-k sampling
        (Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches", PODC).
    """
    key = rng.bytes(16)
    digests = [hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in example_id.tolist()]
    return np.lexsort((example_id, np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)))


def worst_share(badness: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Return a mask of shape (m,) over the ⌊share · m⌋ largest values; among equals the later positions.

    `badness` is finite, shape (m,); `share` lies in [0, 1].
    """
    # Without the slack, 0.29 · 100 = 28.999999999999996 would drop one row too few.
    n_dropped = int(share * len(badness) + 1e-9)
    dropped = np.zeros(len(badness), dtype=np.bool_)
    dropped[np.argsort(badness, kind="stable")[len(badness) - n_dropped :]] = True
    return dropped


def efficiency(
    cds: NDArray[np.float64], n_prompt_tokens: NDArray[np.int64], n_response_tokens: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return PASER's individual efficiency score IES_i = cds_i / log(max((n_prompt + n_response)², e)).

    Parameters
    ----------
    cds : ndarray of shape (m,)
        Capability degradation in nats, [0, ln 2].
    n_prompt_tokens, n_response_tokens : ndarray of shape (m,)
        Tokens after truncation.

    Returns
    -------
    ndarray of shape (m,), float64
        In [0, ln 2], larger = more degradation repaired per cost of training.

    Notes
    -----
    PASER (arXiv 2502.12594) §3.2; training cost grows with the square of the length. The floor at e keeps rows of one
    token finite. The authors' code mixes input tokens with output characters; here both are tokens.
    """
    length = (n_prompt_tokens + n_response_tokens).astype(np.float64)
    # log(l²) = 2 log l and log e = 1: the square is never formed, and lengths of 0 and 1 fall on the floor.
    return cds / np.maximum(2.0 * np.log(np.maximum(length, 1.0)), 1.0)


def rank_within(stratum: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rank of each row inside its stratum, shape (m,): 0 for the largest score, ties by position."""
    # Sorted by stratum, then score, the rank is the position minus the start of the stratum.
    order = np.lexsort((-score, stratum))
    sizes = np.bincount(stratum)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(stratum), dtype=np.int64)
    rank[order] = np.arange(len(stratum)) - np.repeat(starts, sizes)
    return rank


def round_robin(stratum: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order of PASER's rounds: the best row of every stratum, then the second of every stratum, and so on.

    Parameters
    ----------
    stratum : ndarray of shape (m,), int
        Stratum of each row, from 0.
    score : ndarray of shape (m,)
        Larger = earlier, within a stratum and within a round.

    Returns
    -------
    ndarray of shape (m,), int64
        Positions, by (rank inside the stratum, -score, position). With the rows of full strata skipped, these are
        PASER's rounds, independent of how strata are numbered.
    """
    return np.lexsort((-score, rank_within(stratum, score)))
