"""``curate compare FIRST SECOND``: what two selections of one corpus have in common. Trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.errors import UsageError
from curate.schemas.scores import SIGNALS
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.schemas.artefacts import Manifest


def compare(root: Path, first: str, second: str) -> dict[str, Any]:
    """Return counts, overlap, shares per cluster, lengths and distributions of the signals of two selections.

    Clusters are those of whichever selection used them; tokens and signals those of the scores that one of them used,
    or of the newest scores of the corpus.

    Raises
    ------
    UsageError
        If a selection is unknown, or they were made from different corpora.
    """
    from curate.selectors.assessment.overlap import overlap, per_cluster, signal_quantiles, token_histogram

    warehouse = Warehouse(root)
    made = [warehouse.find("selection", one) for one in (first, second)]
    one, other = made
    if one.inputs["corpus"] != other.inputs["corpus"]:
        raise UsageError(f"selections {one.id} and {other.id} are of different corpora; their rows cannot be compared")
    ledgers = [warehouse.read("selection", which.id, columns=["kept", "cluster"]) for which in made]
    a, b = (ledger["kept"].to_numpy(zero_copy_only=False) for ledger in ledgers)
    cluster, scores = _clusters(ledgers), _scores(warehouse, made)
    return {
        "first": _named(one),
        "second": _named(other),
        **overlap(a, b),
        "clusters": [] if cluster is None else per_cluster(cluster, a, b),
        "tokens": [] if scores is None else token_histogram(_tokens(scores), a, b),
        "signals": [] if scores is None else signal_quantiles(_signals(scores), a, b),
    }


def _named(made: Manifest) -> str:
    return f"{made.id} ({made.settings['method']}, {made.settings['budget']})"


def _clusters(ledgers: list[pa.Table]) -> NDArray[np.int64] | None:
    """Return the clusters of whichever selection has them."""
    labels = next((ledger["cluster"] for ledger in ledgers if ledger["cluster"].null_count == 0), None)
    return None if labels is None else np.asarray(labels.to_numpy(), dtype=np.int64)


def _scores(warehouse: Warehouse, made: list[Manifest]) -> pa.Table | None:
    used = [one.inputs["scores"] for one in made if "scores" in one.inputs]
    corpus = made[0].inputs["corpus"]
    found = used or [one.id for one in warehouse.list("scores") if one.inputs["corpus"] == corpus and one.rows()]
    return warehouse.read("scores", found[0]) if found else None


def _tokens(scores: pa.Table) -> NDArray[np.int64]:
    counts = [scores[name].to_numpy().astype(np.int64) for name in ("n_prompt_tokens", "n_response_tokens")]
    total: NDArray[np.int64] = counts[0] + counts[1]
    return total


def _signals(scores: pa.Table) -> dict[str, NDArray[np.float64]]:
    return {name: np.asarray(scores[name].to_numpy(zero_copy_only=False), dtype=np.float64) for name in SIGNALS}
