"""Summary of a selection as JSON-compatible values: counts, reasons, clusters and paths; and wording of the reasons."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse

REASONS = {
    "selected": "kept",
    "budget": "eligible, but the budget was spent on higher-ranked rows",
    "conflict": "refused: its concepts occur in kept rows, but never together",
    "excluded": "left out by --exclude",
    "contaminated": "contains at least half of an evaluation question",
    "forgotten": "excluded by `curate forget`",
    "no_response_tokens": "no supervised token is left after templating and truncation",
}
"""Reason in the ledger to a clause that explains it."""
INTERVALS = ("ceiling_low", "ceiling_high", "tau_low", "tau_high", "pooled")


def summary(warehouse: Warehouse, selection_id: str, picture: Path | None) -> dict[str, Any]:
    """Return the summary of a selection that ``curate select`` prints."""
    manifest = warehouse.manifest("selection", selection_id)
    corpus = warehouse.manifest("corpus", manifest.inputs["corpus"])
    reasons = Counter(warehouse.read("corpus", corpus.id, "quarantine", ["reason"])["reason"].to_pylist())
    return {
        "selection_id": selection_id,
        "method": manifest.settings["method"],
        "budget": manifest.settings["budget"],
        **{name: manifest.facts[name] for name in ("n_examples", "n_kept", "n_tokens_kept", "reasons", "warnings")},
        "corpus": {name: corpus.facts[name] for name in ("n_read", "n_duplicates", "n_quarantined")},
        "quarantine": dict(reasons.most_common()),
        "clusters": clusters(warehouse, selection_id),
        "inputs": manifest.inputs,
        "artefact": str(warehouse.folder("selection", selection_id)),
        "catalog": str(warehouse.root / "catalog.duckdb"),
        "picture": str(picture) if picture else None,
    }


def clusters(warehouse: Warehouse, selection_id: str) -> list[dict[str, Any]]:
    """Return one dict per cluster or group, most degraded first: allocation, terms and, with pilots, curve intervals.

    The terms of a group that is not a cluster are its name. Empty for methods that do not divide their budget.
    """
    inputs = warehouse.manifest("selection", selection_id).inputs
    rows: list[dict[str, Any]] = warehouse.read("selection", selection_id, "allocation").to_pylist()
    if not rows:
        return []
    terms = {row["cluster"]: [row["group"]] for row in rows if row.get("group") is not None}
    if not terms:
        described = warehouse.read("clusters", inputs["clusters"], "terms").to_pylist()
        terms = {row["cluster"]: row["terms"] for row in described}
    curves = {}
    if "pilots" in inputs:
        fitted = warehouse.read("pilots", inputs["pilots"], "curves").to_pylist()
        curves = {row["cluster"]: {name: row[name] for name in INTERVALS} for row in fitted}
    rows.sort(key=lambda row: (-(row["degradation"] or 0.0), row["cluster"]))
    return [{**row, **curves.get(row["cluster"], {}), "terms": terms[row["cluster"]]} for row in rows]


def meaning(reason: str) -> str:
    """Return a clause that explains a ledger reason, empty if there is nothing to add."""
    kind, _, rule = reason.partition(":")
    if kind == "filtered":
        return f"excluded by the filter {rule!r}"
    if kind == "duplicate":
        return f"near-duplicate of a kept row ({rule})"
    if kind == "non_finite":
        return f"the models gave a non-finite {rule}"
    return REASONS.get(reason, "")


def by_count(reasons: dict[str, int]) -> list[tuple[str, int]]:
    """Return reasons and counts, kept rows first, then the most frequent."""
    return sorted(reasons.items(), key=lambda item: (item[0] != "selected", -item[1], item[0]))
