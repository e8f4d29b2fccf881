"""Printing of ``curate select``: clusters, kept and refused rows with reasons, and the paths of the artefacts."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import console, grid, print_json
from curate.flows.operations.selection_summary import by_count, meaning


def selection(summary: dict[str, Any], as_json: bool) -> None:
    """Print a summary of `curate.flows.operations.selection_summary.summary`."""
    if as_json:
        print_json(summary)
    else:
        _print(summary)


def _print(summary: dict[str, Any]) -> None:
    out = console()
    out.print(
        f"Selection {summary['selection_id']}: {summary['method']}, budget {summary['budget']} → "
        f"{summary['n_kept']:,} of {summary['n_examples']:,} examples"
        + (f", {summary['n_tokens_kept']:,} tokens" if summary["n_tokens_kept"] else "")
    )
    if summary["clusters"]:
        _print_clusters(summary)
    reasons = ((name, count, meaning(name)) for name, count in by_count(summary["reasons"]))
    out.print(grid(("reason", "examples", "meaning"), reasons, wide="meaning"))
    corpus = summary["corpus"]
    out.print(
        f"Read {corpus['n_read']:,} rows: {corpus['n_duplicates']:,} exact duplicates merged, "
        f"{corpus['n_quarantined']:,} quarantined" + _listed(summary["quarantine"])
    )
    for warning in summary["warnings"]:
        out.print(f"warning: {warning}")
    out.print(f"\nartefact  {summary['artefact']}\ncatalog   {summary['catalog']}", soft_wrap=True)
    if summary["picture"]:
        out.print(f"picture   {summary['picture']}", soft_wrap=True)


def _print_clusters(summary: dict[str, Any]) -> None:
    out, clusters = console(), summary["clusters"]
    curve = ("ceiling", "tau") if "pilots" in summary["inputs"] else ()
    grouped = clusters[0].get("group") is not None
    # Rows that no method may keep count in the size but neither in the degradation nor in the budget.
    fewer = ("eligible",) if any(row["eligible"] != row["size"] for row in clusters) else ()
    damage = ("degradation",) if any(row["degradation"] is not None for row in clusters) else ()
    columns = ("cluster", *damage, *curve, "size", *fewer, "budget", "kept", "refused", "terms")
    heads = {"cluster": "group", "terms": "name"} if grouped else {"terms": "top terms"}
    rows = ([*(row[name] for name in columns[:-1]), ", ".join(row["terms"])] for row in clusters)
    out.print(grid([heads.get(name, name) for name in columns], rows, wide=heads["terms"]))
    if damage:
        of = "of its eligible rows" if fewer else "of its rows"
        out.print(f"degradation: mean Jensen–Shannon divergence {of} in nats, larger = more damaged")
    if curve:
        out.print("gain of n rows: ceiling · (1 − exp(−n / tau)), nats per token, from pilot recoveries")
    if damage or curve:
        out.print()


def _listed(reasons: dict[str, int]) -> str:
    if not reasons:
        return ""
    shown = [f"{reason} ({count})" for reason, count in list(reasons.items())[:4]]
    return ": " + ", ".join(shown) + (", …" if len(reasons) > len(shown) else "")
