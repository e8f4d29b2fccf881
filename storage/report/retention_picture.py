"""Draws the result of a comparison: retention against budget, one line with confidence intervals per method.

Needs matplotlib, an optional dependency.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from matplotlib import colormaps
from matplotlib.figure import Figure

from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

INK, PALE, DAMAGED = "#22262b", "#c9ced6", "#d1495b"
COLOURS = [colormaps["tab20"](shade + 2 * hue) for shade in (0, 1) for hue in range(10)]
"""Ten strong colours, then their pale versions, for comparisons of more than ten methods."""
WIDTH = 0.6
"""Share of the distance between two budgets over which the methods' points are spread."""


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw a comparison's report into a PNG file.

    Parameters
    ----------
    report : dict
        From `curate.flows.comparison.report.report`.
    path : Path

    Raises
    ------
    WarehouseError
        If the file cannot be written.
    """
    figure = Figure(figsize=(12, 5.4), layout="constrained", facecolor="white")
    for axes, key, title in zip(figure.subplots(1, 2), ("mean", "worst"), ("mean", "worst capability"), strict=True):
        _panel(axes, report, key)
        axes.set_title(f"retention, {title}", color=INK, loc="left")
    figure.axes[1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    atomic.write_bytes(path, buffer.getvalue())


def _panel(axes: Axes, report: dict[str, Any], key: str) -> None:
    lines = [line for line in report["lines"] if line[key] is not None]
    budgets = by_size(lines)
    methods = list(dict.fromkeys(_name(line) for line in lines))
    for index, method in enumerate(methods):
        by_budget = {line["budget"]: line[key] for line in lines if _name(line) == method}
        points = {budget: by_budget[budget] for budget in budgets if budget in by_budget}
        shift = (index / max(len(methods) - 1, 1) - 0.5) * WIDTH
        at = [budgets.index(budget) + shift for budget in points]
        values = [one["value"] for one in points.values()]
        below = [one["value"] - one["low"] for one in points.values()]
        above = [one["high"] - one["value"] for one in points.values()]
        colour = INK if method == "uniform" else COLOURS[index % len(COLOURS)]
        marker = "s" if method.partition(",")[0] == "uniform" else "o"
        axes.errorbar(
            at, values, yerr=[below, above], label=method, color=colour, marker=marker, capsize=3, markersize=5,
            linewidth=1,
        )  # fmt: skip
    if key == "mean" and report["compressed"] is not None:
        axes.axhline(report["compressed"]["value"], color=DAMAGED, linewidth=1, linestyle="--")
        axes.text(-0.45, report["compressed"]["value"], "compressed", color=DAMAGED, fontsize=8, va="bottom")
    axes.axhline(1.0, color=PALE, linewidth=1)
    axes.set_xticks(range(len(budgets)), budgets)
    axes.set_xlim(-0.5, len(budgets) - 0.5)
    axes.set_xlabel("budget", color=INK)
    axes.spines[["top", "right"]].set_visible(False)


def _name(line: Mapping[str, Any]) -> str:
    """Return what the legend calls the arm of a line: its method, and its recipe where several are compared."""
    return f"{line['method']}, {line['recipe']}" if "recipe" in line else str(line["method"])


def by_size(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the budgets of a comparison's lines, smallest first, ordered by the tokens trained on.

    Budgets in rows and in shares cannot be compared otherwise. All methods of a budget train on the same number of
    tokens up to rounding, except one that uses all rows; hence the minimum over the methods.
    """
    budgets = dict.fromkeys(line["budget"] for line in lines)
    tokens = {one: min(line["tokens_trained"] for line in lines if line["budget"] == one) for one in budgets}
    return sorted(budgets, key=lambda one: tokens[one])
