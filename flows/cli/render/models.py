"""The results of verbs about models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows.cli.render.console import cell, console, grid, print_json, size

if TYPE_CHECKING:
    from curate.storage.warehouse.warehouse import Warehouse

MEASURED = ("sparsity", "perplexity")


def compression(report: dict[str, Any], as_json: bool) -> None:
    """Print what `curate compress` did."""
    if as_json:
        print_json(report)
        return
    out = console()
    for name, value in report.items():
        if not isinstance(value, dict | list):
            out.print(f"{name.replace('_', ' '):<20}{cell(value)}", soft_wrap=True)


def recovery(warehouse: Warehouse, recovery_id: str, as_json: bool) -> None:
    """Print what `curate recover` did: the method and why, before and after, and where the model is."""
    made = warehouse.manifest("recovery", recovery_id)
    told = {"recovery_id": made.id, "inputs": made.inputs, "settings": made.settings, **made.facts}
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"Recovery {made.id}: {told['method']}, {told['reason']}", soft_wrap=True)
    out.print(
        f"{told['trainable']:,} of {told['parameters']:,} parameters trained ({told['trainable_share']:.2%}), "
        f"{told['rows']:,} rows, {told['steps']:,} steps, {told['tokens']:,} tokens, {told['seconds']:.0f} s"
    )
    rows = [[name, told[f"{name}_before"], told[f"{name}_after"]] for name in MEASURED]
    out.print(grid(("", "before", "after"), rows))
    out.print(f"perplexity: of {told['rows_heldout']:,} held-out rows; it alone is no verdict")
    for warning in told["warnings"]:
        out.print(f"warning: {warning}", soft_wrap=True)
    out.print(f"\n{'model' if told['merged'] else 'adapter':<10}{told['model']}", soft_wrap=True)


def recovery_plan(told: dict[str, Any], as_json: bool) -> None:
    """Print what `curate recover` would do and cost."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"Recovery {told['recovery_id']} ({told['state']}): {told['method']}, {told['reason']}", soft_wrap=True)
    lines = {
        "trainable": f"{told['trainable']:,} of {told['parameters']:,} parameters ({told['trainable_share']:.2%})",
        "rows": f"{told['rows']:,} to train on, {told['rows_skipped']:,} without a supervised token, "
        f"{told['rows_heldout']:,} held out",
        "steps": f"{told['steps']:,}",
        "tokens": f"{told['tokens']:,}",
        "time": f"about {told['seconds'] / 60:.1f} minutes on {told['device']} in {told['dtype']}",
        "memory": f"about {size(told['memory'])}",
    }
    if told["processes"] > 1:
        lines["steps"] += f", each shared by {told['processes']} processes"
        lines["memory"] += " in each process"
    if taught := told.get("teacher"):
        lines["teacher"] = f"{taught['rows']:,} rows read before, {taught['rows_to_read']:,} to read" + (
            f" ({size(taught['bytes'])} on the disk)" if taught["rows_to_read"] else ""
        )
    for name, value in lines.items():
        out.print(f"  {name:<12}{value}", soft_wrap=True)


def detected(model: str, found: dict[str, Any], as_json: bool) -> None:
    """Print what was done to a model, and which method `curate recover` would take."""
    if as_json:
        print_json({"model": model, **found})
        return
    out = console()
    out.print(f"{model}: {found['sentence']}", soft_wrap=True)
    for name in ("sparsity", "pattern", "layers", "layers_removed", "quantisation", "adapter_base"):
        out.print(f"  {name.replace('_', ' '):<18}{cell(found[name])}", soft_wrap=True)
    out.print(f"  {'recovery':<18}{found['method']}: {found['reason']}", soft_wrap=True)
