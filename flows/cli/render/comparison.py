"""Printing of ``curate compare``: two selections side by side, or a comparison of several methods."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import cell, console, grid, print_json

_DISTRIBUTIONS = ("corpus", "first", "second")


def overlap(report: dict[str, Any], as_json: bool) -> None:
    """Print how two selections differ."""
    if as_json:
        print_json(report)
        return
    out = console()
    names = ("first", "second", "kept_first", "kept_second", "kept_both", "both_by_chance", "jaccard")
    for name in names:
        out.print(f"{name.replace('_', ' '):<16}{cell(report[name])}")
    for name in ("clusters", "tokens"):
        if report[name]:
            heads = tuple(report[name][0])
            shown = [head.replace("_", " ") for head in heads]
            out.print(grid(shown, ([row[head] for head in heads] for row in report[name])))
    if report["signals"]:
        columns = ("signal", "distance", *(f"{name}: 10, 50, 90 %" for name in _DISTRIBUTIONS))
        out.print(grid(columns, (_quantiles(row) for row in report["signals"])))


def _quantiles(row: dict[str, Any]) -> list[Any]:
    quantiles = (", ".join(f"{row[f'{name}_q{q}']:.3g}" for q in (10, 50, 90)) for name in _DISTRIBUTIONS)
    return [row["signal"], row["distance"], *quantiles]


def comparison(report: dict[str, Any], as_json: bool) -> None:
    """Print a comparison of several methods: a line per arm, then a sentence per conclusion."""
    if as_json:
        print_json(report)
        return
    out = console(150)
    recipe = ("recipe",) if "recipes" in report else ()
    columns = ("method", "budget", *recipe, "seeds", "mean retention", "worst capability", "against uniform", "p",
               "rows", "tokens trained", "noise", "seconds")  # fmt: skip
    out.print(grid(columns, (_arm(line) for line in report["lines"])))
    damaged = report["compressed"]
    out.print(f"compressed model: mean retention {damaged['value']:.3f} [{damaged['low']:.3f}, {damaged['high']:.3f}]")
    for name, how in report.get("recipes", {"every cell": report["training"]}).items():
        out.print(f"{name} trained by {how}", soft_wrap=True)
    out.print(f"primary comparison: {report['primary']}; all others are corrected for their number (Holm)")
    if report["left_out"]:
        reasons = "original close to chance, or fewer than 10 items"
        out.print(f"left out, {reasons}: {', '.join(report['left_out'])}", soft_wrap=True)
    if report["n_excluded"]:
        out.print(f"{report['n_excluded']:,} rows of the pool were left out because they are evaluation items")
    for line in report["lines"]:
        harm = f" HARMED, below the compressed model: {', '.join(line['harmed'])}." if line["harmed"] else ""
        out.print(line["sentence"] + harm, soft_wrap=True)
    for line in report["lines"]:
        if "recipe_effect" in line:
            out.print(line["recipe_effect"]["sentence"], soft_wrap=True)
    for path in report["files"]:
        out.print(f"written  {path}", soft_wrap=True)


def _arm(line: dict[str, Any]) -> list[Any]:
    tested = line["word"] != "baseline"
    return [
        line["method"], line["budget"], *([line["recipe"]] if "recipe" in line else []), line["seeds"],
        bounded(line["mean"]), bounded(line["worst"]),
        bounded(line["gain"], sign="+") if tested else "", f"{line['p_holm']:.2g}" if tested else "",
        round(line["rows"]),
        round(line["tokens_trained"]), line["noise"], round(line["seconds_training"], 1),
    ]  # fmt: skip


def bounded(interval: dict[str, float] | None, sign: str = "") -> str:
    """Return a value with its confidence interval, or a dash for None."""
    if interval is None:
        return "–"
    return f"{interval['value']:{sign}.3f} [{interval['low']:{sign}.3f}, {interval['high']:{sign}.3f}]"


def comparison_plan(report: dict[str, Any], as_json: bool) -> None:
    """Print the cells of a planned comparison and their estimated cost."""
    if as_json:
        print_json(report)
        return
    out = console()
    recipe = ("recipe",) if any("recipe" in row for row in report["arms"]) else ()
    heads = ("arm", "budget", *recipe, "cells", "done", "tokens each", "training FLOPs each")
    out.print(grid(heads, ([row[head.replace(" ", "_")] for head in heads] for row in report["arms"])))
    out.print(f"{report['cells']} cells, {report['done']} done; {report['estimate']}", soft_wrap=True)
    if "pilots" in report:
        out.print(f"plus {report['pilots']} sets of pilots, one per seed, {report['pilots_done']} done", soft_wrap=True)
