"""Reads the data of a selection's report from its artefacts into parallel arrays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.scores import SIGNALS
from curate.storage.maintenance.forgotten import forgotten

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.schemas.artefacts import Manifest, Noun
    from curate.storage.warehouse.warehouse import Warehouse

UPSTREAM: tuple[Noun, ...] = ("corpus", "tokens", "embeddings", "clusters", "scores", "pilots")
"""Nouns that a selection may depend on, in the order in which they are built."""


@dataclass(frozen=True)
class Contents:
    """The data of one selection's report; arrays have one entry per example, in corpus order."""

    selection: Manifest
    upstream: dict[Noun, Manifest]
    """Its input artefacts that still exist."""
    example_id: NDArray[np.str_]
    kept: NDArray[np.bool_]
    rank: NDArray[np.int64]
    """Rank among the kept rows from 1; 0 if not kept."""
    reason: NDArray[np.object_]
    forgotten: NDArray[np.bool_]
    """Rows forgotten after the selection: they are counted, but their text is not shown."""
    related: NDArray[np.object_]
    """Id of the example that was preferred to the row, or None."""
    cluster: NDArray[np.int64] | None
    """Cluster of each row, or the group that the budget was divided among, numbered as in `clusters`."""
    membership: NDArray[np.float64] | None
    """How much each row belongs to its cluster, in [0, 1]; None for groups and without clusters."""
    layouts: dict[str, NDArray[np.float64]]
    """Layout to coordinates of shape (n, 2): ``map`` (a disc per cluster) and ``diffusion``; empty for methods without
    clusters."""
    signals: dict[str, NDArray[np.float64]]
    """Signal name to values, NaN if missing; only signals with at least one value."""
    clusters: list[dict[str, Any]]
    """Allocation of every cluster with its terms, or of every group with its name as the only term, most degraded
    first; empty for methods without clusters."""
    quarantine: dict[str, int]
    """Reason to number of rows, most frequent first."""
    sources: list[dict[str, Any]]
    """Numbers of rows read and kept per source and licence."""

    def __len__(self) -> int:
        return len(self.example_id)


def read_contents(warehouse: Warehouse, selection_id: str) -> Contents:
    """Return the data of a selection's report.

    Raises
    ------
    WarehouseError
        If the selection or its corpus does not exist, or a part is missing or damaged.
    """
    selection = warehouse.manifest("selection", selection_id)
    upstream = {
        noun: warehouse.manifest(noun, selection.inputs[noun])
        for noun in UPSTREAM
        if noun in selection.inputs and (noun == "corpus" or warehouse.has(noun, selection.inputs[noun]))
    }
    ledger = warehouse.read("selection", selection_id)
    example_id = np.asarray(ledger["example_id"].to_pylist(), dtype=np.str_)
    kept = ledger["kept"].to_numpy(zero_copy_only=False)
    cluster: NDArray[np.int64] | None = None
    membership: NDArray[np.float64] | None = None
    layouts: dict[str, NDArray[np.float64]] = {}
    if "clusters" in upstream:
        table = warehouse.read("clusters", upstream["clusters"].id)
        cluster = table["cluster"].to_numpy().astype(np.int64)
        membership = _floats(table["membership"])
        layouts = _layouts(table)
    clusters = _clusters(warehouse, selection, upstream)
    if grouped := {row["group"]: row["cluster"] for row in clusters if row.get("group") is not None}:
        cluster = np.array([grouped[name] for name in ledger["group"].to_pylist()], dtype=np.int64)
        membership = None
    corpus_id = upstream["corpus"].id
    reasons = Counter(warehouse.read("corpus", corpus_id, "quarantine", ["reason"])["reason"].to_pylist())
    return Contents(
        selection=selection,
        upstream=upstream,
        example_id=example_id,
        kept=kept,
        rank=np.nan_to_num(_floats(ledger["rank"]), nan=0.0).astype(np.int64),
        reason=np.asarray(ledger["reason"].to_pylist(), dtype=object),
        forgotten=np.isin(example_id, np.asarray(forgotten(warehouse.root), dtype=np.str_)),
        related=np.asarray(ledger["related_id"].to_pylist(), dtype=object),
        cluster=cluster,
        membership=membership,
        layouts=layouts,
        signals=_signals(warehouse, upstream),
        clusters=clusters,
        quarantine=dict(reasons.most_common()),
        sources=_sources(warehouse, corpus_id, set(example_id[kept].tolist())),
    )


def _layouts(clusters: pa.Table) -> dict[str, NDArray[np.float64]]:
    """Return the layouts of a clusters artefact; artefacts of version 1 have diffusion coordinates only."""
    names = {"map": "map", "diffusion": "diffusion"} if "diffusion_x" in clusters.column_names else {"diffusion": "map"}
    return {
        layout: np.stack([clusters[f"{name}_{axis}"].to_numpy().astype(np.float64) for axis in "xy"], axis=1)
        for layout, name in names.items()
    }


def _signals(warehouse: Warehouse, upstream: dict[Noun, Manifest]) -> dict[str, NDArray[np.float64]]:
    if "scores" not in upstream:
        return {}
    table = warehouse.read("scores", upstream["scores"].id)
    signals = {
        name: _floats(table[name])
        for name in (*SIGNALS, "n_prompt_tokens", "n_response_tokens")
        if name in table.column_names
    }
    return {name: values for name, values in signals.items() if np.isfinite(values).any()}


def _clusters(warehouse: Warehouse, selection: Manifest, upstream: dict[Noun, Manifest]) -> list[dict[str, Any]]:
    rows = warehouse.read("selection", selection.id, "allocation").to_pylist()
    if any(row.get("group") is not None for row in rows):
        rows = [{**row, "terms": [row["group"]]} for row in rows]
    elif "clusters" in upstream:
        described = warehouse.read("clusters", upstream["clusters"].id, "terms").to_pylist()
        terms = {row["cluster"]: row["terms"] for row in described}
        rows = [{**row, "terms": terms[row["cluster"]]} for row in rows]
    else:
        return []
    return sorted(rows, key=lambda row: (-(row["degradation"] or 0.0), row["cluster"]))


def _sources(warehouse: Warehouse, corpus_id: str, kept: set[str]) -> list[dict[str, Any]]:
    read: Counter[tuple[str, str]] = Counter()
    taken: Counter[tuple[str, str]] = Counter()
    for batch in warehouse.batches("corpus", corpus_id, "sources", ["example_id", "source", "licence"]):
        for name, source, licence in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            read[source, licence or "not stated"] += 1
            taken[source, licence or "not stated"] += name in kept
    return [
        {"source": source, "licence": licence, "read": count, "kept": taken[source, licence]}
        for (source, licence), count in sorted(read.items(), key=lambda item: (-item[1], item[0]))
    ]


def _floats(column: Any) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
