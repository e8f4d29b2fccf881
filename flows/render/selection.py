"""The result of ``curate select``: clusters, what was kept, what was refused and why, where everything lies."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from curate.flows.render.out import console, grid, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from curate.storage.warehouse import Warehouse

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


def selection(warehouse: Warehouse, selection_id: str, picture: Path | None, as_json: bool) -> None:
    """Print one selection."""
    told = summary(warehouse, selection_id, picture)
    if as_json:
        print_json(told)
    else:
        _print(told)


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


def _print(told: dict[str, Any]) -> None:
    out = console()
    out.print(
        f"Selection {told['selection_id']}: {told['method']}, budget {told['budget']} → "
        f"{told['n_kept']:,} of {told['n_examples']:,} examples"
        + (f", {told['n_tokens_kept']:,} tokens" if told["n_tokens_kept"] else "")
    )
    if told["clusters"]:
        curve = ("ceiling", "tau") if "pilots" in told["inputs"] else ()
        columns = ("cluster", "degradation", *curve, "size", "budget", "kept", "refused", "top terms")
        rows = ([*(row[name] for name in columns[:-1]), ", ".join(row["terms"])] for row in told["clusters"])
        out.print(grid(columns, rows, wide="top terms"))
        out.print("degradation: mean Jensen–Shannon divergence of the pair in nats, larger = more damaged")
        if curve:
            out.print("gain of n rows: ceiling · (1 − exp(−n / tau)), nats per token, from pilot recoveries")
        out.print()
    reasons = ((name, count, meaning(name)) for name, count in _by_count(told["reasons"]))
    out.print(grid(("reason", "examples", "meaning"), reasons, wide="meaning"))
    corpus = told["corpus"]
    out.print(
        f"Read {corpus['n_read']:,} rows: {corpus['n_duplicates']:,} exact duplicates merged, "
        f"{corpus['n_quarantined']:,} quarantined" + _listed(told["quarantine"])
    )
    for warning in told["warnings"]:
        out.print(f"warning: {warning}")
    out.print(f"\nartefact  {told['artefact']}\ncatalog   {told['catalog']}", soft_wrap=True)
    if told["picture"]:
        out.print(f"picture   {told['picture']}", soft_wrap=True)


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


def _by_count(reasons: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (item[0] != "selected", -item[1], item[0]))


def _listed(reasons: dict[str, int]) -> str:
    if not reasons:
        return ""
    shown = [f"{reason} ({count})" for reason, count in list(reasons.items())[:4]]
    return ": " + ", ".join(shown) + (", …" if len(reasons) > len(shown) else "")
