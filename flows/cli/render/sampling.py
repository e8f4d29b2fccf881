"""Printing of the verb sample."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import console, print_json


def targets(report: dict[str, Any], as_json: bool) -> None:
    """Print how many rows have a target, and what the samples cost."""
    if as_json:
        print_json(report)
        return
    out = console()
    out.print(f"Targets {report['targets_id']} of {report['model']}", soft_wrap=True)
    out.print(f"{report['solved']:,} of {report['asked']:,} rows asked have a target ({report['accept']})")
    if report["asked"]:
        share = report["tokens"] / report["tokens_always"]
        out.print(
            f"{report['mean_samples']:.1f} of {report['best_of']} samples a row, {report['tokens']:,} tokens: "
            f"{share:.0%} of about {report['tokens_always']:,} for always {report['best_of']}"
        )
    out.print(f"\ncurate recover {report['selection_id']} --targets {report['targets_id']}", soft_wrap=True)
