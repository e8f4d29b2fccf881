"""Printing of verbs about models: compress, recover, doctor MODEL."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import cell, console, grid, print_json, size

MEASURED = ("sparsity", "perplexity")


def compression(report: dict[str, Any], as_json: bool) -> None:
    """Print the report of `curate compress`."""
    if as_json:
        print_json(report)
        return
    out = console()
    for name, value in report.items():
        if not isinstance(value, dict | list):
            out.print(f"{name.replace('_', ' '):<20}{cell(value)}", soft_wrap=True)


def recovery(report: dict[str, Any], as_json: bool) -> None:
    """Print a finished recovery: the method and its reason, measurements before and after, the model's folder."""
    if as_json:
        print_json(report)
        return
    out = console()
    out.print(f"Recovery {report['recovery_id']}: {report['method']}, {report['reason']}", soft_wrap=True)
    out.print(
        f"{report['trainable']:,} of {report['parameters']:,} parameters trained ({report['trainable_share']:.2%}), "
        f"{report['rows']:,} rows, {report['steps']:,} steps, {report['tokens']:,} tokens, {report['seconds']:.0f} s"
    )
    if "layers" in report:
        out.print(f"layers trained: {', '.join(map(str, report['layers']))}")
    out.print(f"loss: {report['loss']}")
    rows = [[name, report[f"{name}_before"], report[f"{name}_after"]] for name in MEASURED]
    for width in report.get("elastic", ()):
        name = f"perplexity at {width['channels']:,} channels ({width['share']:.0%})"
        rows.append([name, width["perplexity_before"], width["perplexity_after"]])
    out.print(grid(("", "before", "after"), rows))
    out.print(f"perplexity of {report['rows_heldout']:,} held-out rows; run `curate evaluate` for task scores")
    for warning in report["warnings"]:
        out.print(f"warning: {warning}", soft_wrap=True)
    out.print(f"\n{'model' if report['merged'] else 'adapter':<10}{report['model']}", soft_wrap=True)


def recovery_plan(plan: dict[str, Any], as_json: bool) -> None:
    """Print the method, size and estimated cost of a planned recovery."""
    if as_json:
        print_json(plan)
        return
    out = console()
    out.print(f"Recovery {plan['recovery_id']} ({plan['state']}): {plan['method']}, {plan['reason']}", soft_wrap=True)
    lines = {
        "trainable": f"{plan['trainable']:,} of {plan['parameters']:,} parameters ({plan['trainable_share']:.2%})",
        "rows": f"{plan['rows']:,} to train on, {plan['rows_skipped']:,} without a supervised token, "
        f"{plan['rows_heldout']:,} held out",
        "loss": plan["loss"],
        "steps": f"{plan['steps']:,}",
        "tokens": f"{plan['tokens']:,}",
        "time": f"about {plan['seconds'] / 60:.1f} minutes on {plan['device']} in {plan['dtype']}",
        "memory": f"about {size(plan['memory'])}",
    }
    if plan["processes"] > 1:
        lines["steps"] += f", each shared by {plan['processes']} processes"
        lines["memory"] += " in each process"
    if "layers" in plan:
        lines["layers"] = ", ".join(map(str, plan["layers"]))
    if teacher := plan.get("teacher"):
        lines["teacher"] = f"{teacher['rows']:,} rows cached, {teacher['rows_to_read']:,} to compute" + (
            f" ({size(teacher['bytes'])} on disk)" if teacher["rows_to_read"] else ""
        )
    for name, value in lines.items():
        out.print(f"  {name:<12}{value}", soft_wrap=True)


def detected(model: str, report: dict[str, Any], as_json: bool) -> None:
    """Print the compression detected in a model, and the method that `curate recover` would use."""
    if as_json:
        print_json({"model": model, **report})
        return
    out = console()
    out.print(f"{model}: {report['sentence']}", soft_wrap=True)
    for name in ("sparsity", "pattern", "layers", "layers_removed", "quantisation", "adapter_base"):
        out.print(f"  {name.replace('_', ' '):<18}{cell(report[name])}", soft_wrap=True)
    out.print(f"  {'recovery':<18}{report['method']}: {report['reason']}", soft_wrap=True)
