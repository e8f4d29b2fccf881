"""What ``curate compare`` prints: two selections side by side, or the trial of several methods."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import cell, console, grid, print_json

_WHOSE = ("corpus", "first", "second")


def overlap(told: dict[str, Any], as_json: bool) -> None:
    """Print how two selections differ."""
    if as_json:
        print_json(told)
        return
    out = console()
    names = ("first", "second", "kept_first", "kept_second", "kept_both", "both_by_chance", "jaccard")
    for name in names:
        out.print(f"{name.replace('_', ' '):<16}{cell(told[name])}")
    for name in ("clusters", "tokens"):
        if told[name]:
            heads = tuple(told[name][0])
            shown = [head.replace("_", " ") for head in heads]
            out.print(grid(shown, ([row[head] for head in heads] for row in told[name])))
    if told["signals"]:
        columns = ("signal", "distance", *(f"{whose}: 10, 50, 90 %" for whose in _WHOSE))
        out.print(grid(columns, (_quantiles(row) for row in told["signals"])))


def _quantiles(row: dict[str, Any]) -> list[Any]:
    three = (", ".join(f"{row[f'{whose}_q{q}']:.3g}" for q in (10, 50, 90)) for whose in _WHOSE)
    return [row["signal"], row["distance"], *three]


def trial(told: dict[str, Any], as_json: bool) -> None:
    """Print the trial of several methods: a line per arm, then a sentence per verdict."""
    if as_json:
        print_json(told)
        return
    out = console(150)
    columns = ("method", "budget", "seeds", "mean retention", "worst capability", "against uniform", "p", "rows",
               "tokens trained", "noise", "seconds")  # fmt: skip
    out.print(grid(columns, (_arm(line) for line in told["lines"])))
    damaged = told["compressed"]
    out.print(f"compressed model: mean retention {damaged['value']:.3f} [{damaged['low']:.3f}, {damaged['high']:.3f}]")
    out.print(f"primary comparison: {told['primary']}; all others are corrected for their number (Holm)")
    if told["left_out"]:
        out.print(f"left out, for the original knows too little: {', '.join(told['left_out'])}", soft_wrap=True)
    if told["n_excluded"]:
        out.print(f"{told['n_excluded']:,} rows of the pool were left out, for the evaluation asks them")
    for line in told["lines"]:
        harm = f" HARMED, below the compressed model: {', '.join(line['harmed'])}." if line["harmed"] else ""
        out.print(line["sentence"] + harm, soft_wrap=True)
    for path in told["files"]:
        out.print(f"written  {path}", soft_wrap=True)


def _arm(line: dict[str, Any]) -> list[Any]:
    ours = line["word"] != "baseline"
    return [
        line["method"], line["budget"], line["seeds"], bounded(line["mean"]), bounded(line["worst"]),
        bounded(line["gain"], sign="+") if ours else "", f"{line['p_holm']:.2g}" if ours else "", round(line["rows"]),
        round(line["tokens_trained"]), line["noise"], round(line["seconds_training"], 1),
    ]  # fmt: skip


def bounded(found: dict[str, float] | None, sign: str = "") -> str:
    """Return a figure with its interval, a dash for nothing."""
    if found is None:
        return "–"
    return f"{found['value']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"


def priced(told: dict[str, Any], as_json: bool) -> None:
    """Print what a comparison would run and what it would cost."""
    if as_json:
        print_json(told)
        return
    out = console()
    heads = ("arm", "budget", "cells", "done", "tokens each", "training FLOPs each")
    out.print(grid(heads, ([row[head.replace(" ", "_")] for head in heads] for row in told["arms"])))
    out.print(f"{told['cells']} cells, {told['done']} done; {told['estimate']}", soft_wrap=True)
    if "pilots" in told:
        out.print(
            f"{told['pilots']} sets of pilots beside them, one a seed, {told['pilots_done']} done", soft_wrap=True
        )
