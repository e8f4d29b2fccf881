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
    out.print(
        f"{report['solved']:,} of {report['asked']:,} rows asked have a target ({report['accept']}); "
        f"{report['solved_greedy']:,} by the likeliest answer alone"
    )
    if report["asked"]:
        share = report["tokens"] / report["tokens_always"]
        out.print(
            f"{report['mean_samples']:.1f} of {report['best_of']} samples a row, {report['tokens']:,} tokens: "
            f"{share:.0%} of about {report['tokens_always']:,} for always {report['best_of']}"
        )
    if report["prune_at"]:
        out.print(
            f"{report['pruned']:,} of {report['samples']:,} samples were stopped at {report['prune_at']} tokens: "
            f"{report['prune_keep']:.0%} of a row's half-drawn samples go on"
        )
    if report["calibration"]:
        out.print(_calibrated(report["accept"], report["calibration"]))
    out.print(f"\ncurate recover {report['selection_id']} --targets {report['targets_id']}", soft_wrap=True)


def _calibrated(by: str, measured: dict[str, Any]) -> str:
    """Return how well answers without a check are judged, beside the likeliest answer."""
    within = measured["auroc_within"][by]
    frequency = "none accepted" if measured["frequency"] is None else f"right in {measured['frequency']:.0%}"
    return (
        f"Judged by {by} where the corpus's answer is long. On {measured['prompts']:,} rows with a check: AUROC "
        f"{measured['auroc'][by]:.2f}{'' if within is None else f', within a row {within:.2f}'}; at the threshold "
        f"{measured['threshold']:.3g} {frequency}, {measured['accepted_share']:.0%} of the samples accepted.\n"
        f"Right there: the likeliest answer {measured['greedy']:.0%}; the first above the threshold, or the best, "
        f"{measured['by_score']:.0%} at {measured['by_score_samples']:.1f} samples; any of "
        f"them {measured['by_reference']:.0%}."
    )
