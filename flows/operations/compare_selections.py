"""``curate compare FIRST SECOND``: overlap and distributions of two selections of one corpus. Trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.session import open_warehouse
from curate.schemas.errors import UsageError
from curate.schemas.scores import SIGNALS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def compare(settings: Settings, first: str, second: str) -> dict[str, Any]:
    """Return counts, overlap, shares per cluster, lengths and signal distributions of two selections.

    Clusters are those of the first selection that used any; tokens and signals come from the scores that one of them
    used, else from the newest scores of the corpus.

    Raises
    ------
    UsageError
        If a selection is unknown, or they are of different corpora.
    """
    from curate.selectors.assessment.overlap import overlap, per_cluster, signal_quantiles, token_histogram

    warehouse = open_warehouse(settings)
    manifests = [warehouse.find("selection", selection) for selection in (first, second)]
    one, other = manifests
    if one.inputs["corpus"] != other.inputs["corpus"]:
        raise UsageError(f"selections {one.id} and {other.id} are of different corpora; their rows cannot be compared")
    ledgers = [warehouse.read("selection", manifest.id, columns=["kept", "cluster"]) for manifest in manifests]
    a, b = (ledger["kept"].to_numpy(zero_copy_only=False) for ledger in ledgers)
    cluster, scores = _clusters(ledgers), _scores(warehouse, manifests)
    return {
        "first": _label(one),
        "second": _label(other),
        **overlap(a, b),
        "clusters": [] if cluster is None else per_cluster(cluster, a, b),
        "tokens": [] if scores is None else token_histogram(_tokens(scores), a, b),
        "signals": [] if scores is None else signal_quantiles(_signals(scores), a, b),
    }


def _label(manifest: Manifest) -> str:
    return f"{manifest.id} ({manifest.settings['method']}, {manifest.settings['budget']})"


def _clusters(ledgers: list[pa.Table]) -> NDArray[np.int64] | None:
    """Return the cluster labels of the first ledger that has them."""
    labels = next((ledger["cluster"] for ledger in ledgers if ledger["cluster"].null_count == 0), None)
    return None if labels is None else np.asarray(labels.to_numpy(), dtype=np.int64)


def _scores(warehouse: Warehouse, selections: list[Manifest]) -> pa.Table | None:
    used = [selection.inputs["scores"] for selection in selections if "scores" in selection.inputs]
    corpus = selections[0].inputs["corpus"]
    # Imported scores are scores artefacts without rows in the main table.
    candidates = used or [one.id for one in warehouse.list("scores") if one.inputs["corpus"] == corpus and one.rows()]
    return warehouse.read("scores", candidates[0]) if candidates else None


def _tokens(scores: pa.Table) -> NDArray[np.int64]:
    counts = [scores[name].to_numpy().astype(np.int64) for name in ("n_prompt_tokens", "n_response_tokens")]
    total: NDArray[np.int64] = counts[0] + counts[1]
    return total


def _signals(scores: pa.Table) -> dict[str, NDArray[np.float64]]:
    known = [name for name in SIGNALS if name in scores.column_names]
    return {name: np.asarray(scores[name].to_numpy(zero_copy_only=False), dtype=np.float64) for name in known}
