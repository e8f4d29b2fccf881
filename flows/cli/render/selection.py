"""The result of ``curate select``: clusters, what was kept, what was refused and why, where everything lies."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import console, grid, print_json
from curate.flows.operations.selection_summary import by_count, meaning


def selection(told: dict[str, Any], as_json: bool) -> None:
    """Print one selection, as `selection_summary.summary` describes it."""
    if as_json:
        print_json(told)
    else:
        _print(told)


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
    reasons = ((name, count, meaning(name)) for name, count in by_count(told["reasons"]))
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


def _listed(reasons: dict[str, int]) -> str:
    if not reasons:
        return ""
    shown = [f"{reason} ({count})" for reason, count in list(reasons.items())[:4]]
    return ": " + ", ".join(shown) + (", …" if len(reasons) > len(shown) else "")
