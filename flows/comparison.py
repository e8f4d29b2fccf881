"""``curate compare``: what two selections of one corpus have in common. Trains nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.errors import UsageError
from curate.storage.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray


def compare(root: Path, first: str, second: str) -> dict[str, Any]:
    """Return counts, overlap, Jaccard index and shares per cluster of two selections.

    Raises
    ------
    UsageError
        If a selection is unknown, or they were made from different corpora.
    """
    warehouse = Warehouse(root)
    one, other = warehouse.find("selection", first), warehouse.find("selection", second)
    if one.inputs["corpus"] != other.inputs["corpus"]:
        raise UsageError(f"selections {one.id} and {other.id} are of different corpora; their rows cannot be compared")
    ledgers = [warehouse.read("selection", made.id, columns=["kept", "cluster"]) for made in (one, other)]
    kept = [ledger["kept"].to_numpy(zero_copy_only=False) for ledger in ledgers]
    both, either = int((kept[0] & kept[1]).sum()), int((kept[0] | kept[1]).sum())
    return {
        "first": f"{one.id} ({one.settings['method']}, {one.settings['budget']})",
        "second": f"{other.id} ({other.settings['method']}, {other.settings['budget']})",
        "kept_first": int(kept[0].sum()),
        "kept_second": int(kept[1].sum()),
        "kept_both": both,
        "jaccard": both / either if either else 0.0,
        "clusters": _per_cluster(ledgers, kept),
    }


def _per_cluster(ledgers: list[pa.Table], kept: list[NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """Return kept rows per cluster, by the clusters of whichever selection has them."""
    labels = next((ledger["cluster"] for ledger in ledgers if ledger["cluster"].null_count == 0), None)
    if labels is None:
        return []
    cluster = labels.to_numpy()
    counts = [np.bincount(cluster[mask], minlength=int(cluster.max()) + 1) for mask in (*kept, kept[0] & kept[1])]
    heads = ("kept_first", "kept_second", "kept_both")
    return [
        {"cluster": k, **dict(zip(heads, map(int, row), strict=True))}
        for k, row in enumerate(zip(*counts, strict=True))
    ]
