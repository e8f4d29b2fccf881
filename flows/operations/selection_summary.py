"""A selection as JSON-able values: counts, reasons, clusters, where its files are."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse

REASONS = {
    "selected": "kept",
    "budget": "good enough, but the budget was spent on rows ranked before",
    "conflict": "refused: concepts that kept rows know, but never together",
    "excluded": "left out by --exclude",
    "contaminated": "holds at least half of an evaluation question",
    "forgotten": "never used again since `curate forget`",
    "no_response_tokens": "no supervised token is left after templating and truncation",
}
INTERVALS = ("ceiling_low", "ceiling_high", "tau_low", "tau_high", "pooled")


def summary(warehouse: Warehouse, selection_id: str, picture: Path | None) -> dict[str, Any]:
    """Return what is printed of a selection, as JSON-able values."""
    made = warehouse.manifest("selection", selection_id)
    corpus = warehouse.manifest("corpus", made.inputs["corpus"])
    reasons = Counter(warehouse.read("corpus", corpus.id, "quarantine", ["reason"])["reason"].to_pylist())
    return {
        "selection_id": selection_id,
        "method": made.settings["method"],
        "budget": made.settings["budget"],
        **{name: made.facts[name] for name in ("n_examples", "n_kept", "n_tokens_kept", "reasons", "warnings")},
        "corpus": {name: corpus.facts[name] for name in ("n_read", "n_duplicates", "n_quarantined")},
        "quarantine": dict(reasons.most_common()),
        "clusters": clusters(warehouse, selection_id),
        "inputs": made.inputs,
        "artefact": str(warehouse.folder("selection", selection_id)),
        "catalog": str(warehouse.root / "catalog.duckdb"),
        "picture": str(picture) if picture else None,
    }


def clusters(warehouse: Warehouse, selection_id: str) -> list[dict[str, Any]]:
    """Return one dict per cluster, most degraded first: allocation, terms, intervals of its gain curve if it has one.

    Empty without clusters.
    """
    made = warehouse.manifest("selection", selection_id)
    rows: list[dict[str, Any]] = warehouse.read("selection", selection_id, "allocation").to_pylist()
    if not rows or "clusters" not in made.inputs:
        return []
    told = warehouse.read("clusters", made.inputs["clusters"], "terms").to_pylist()
    terms = {row["cluster"]: row["terms"] for row in told}
    curves = {}
    if "pilots" in made.inputs:
        fitted = warehouse.read("pilots", made.inputs["pilots"], "curves").to_pylist()
        curves = {row["cluster"]: {name: row[name] for name in INTERVALS} for row in fitted}
    rows.sort(key=lambda row: (-(row["degradation"] or 0.0), row["cluster"]))
    return [{**row, **curves.get(row["cluster"], {}), "terms": terms[row["cluster"]]} for row in rows]


def meaning(reason: str) -> str:
    """Return one clause for a person about a ledger reason, empty where there is nothing to add."""
    kind, _, rule = reason.partition(":")
    if kind == "filtered":
        return f"set aside by the rule {rule!r}"
    if kind == "duplicate":
        return f"nearly the same as a row that stays ({rule})"
    if kind == "non_finite":
        return f"the models gave no finite value of {rule}"
    return REASONS.get(reason, "")


def by_count(reasons: dict[str, int]) -> list[tuple[str, int]]:
    """Return reasons and counts, kept rows first, then the most frequent."""
    return sorted(reasons.items(), key=lambda item: (item[0] != "selected", -item[1], item[0]))
