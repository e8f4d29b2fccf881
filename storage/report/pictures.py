"""Draws the report's pictures as PNG files: the map with the clusters, the DON/NOD plane, the scores.

Needs matplotlib, an optional dependency; the scales are those of the HTML page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from curate.storage.report import selection_picture
from curate.storage.report.contents import Contents, read_contents
from curate.storage.report.distributions import MIN_TICK_DISTANCE, signal_axis
from curate.storage.report.scales import Scale, bin_shares, densest_region, outline, scale_of
from curate.storage.report.selection_picture import INK, KEPT, LEFT
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from curate.storage.warehouse.warehouse import Warehouse

COLUMNS = 3


def draw_pictures(warehouse: Warehouse, selection_id: str, beside: Path) -> list[Path]:
    """Draw all pictures for which the selection has data, into files named after `beside`, and return their paths.

    Raises
    ------
    WarehouseError
        If an artefact is missing or damaged, or a file cannot be written.
    """
    contents = read_contents(warehouse, selection_id)
    drawn: list[Path] = []
    if contents.layouts:
        drawn.append(beside.with_name(f"{beside.stem}-clusters.png"))
        selection_picture.draw(warehouse, selection_id, drawn[-1])
    for name, figure in (("plane", plane(contents)), ("scores", scores(contents))):
        if figure is not None:
            drawn.append(beside.with_name(f"{beside.stem}-{name}.png"))
            atomic.write_bytes(drawn[-1], selection_picture.png(figure))
    return drawn


def plane(contents: Contents) -> Figure | None:
    """Return the DON/NOD plane with the region of the kept rows; None without those scores."""
    if not {"don", "nod"} <= contents.signals.keys():
        return None
    don, nod = contents.signals["don"], contents.signals["nod"]
    across, up = scale_of(nod, "log"), scale_of(don, "asinh")
    figure = Figure(figsize=(7, 6.4), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for rows, colour, name in ((~contents.kept, LEFT, "not kept"), (contents.kept, KEPT, "kept")):
        size = float(np.clip(20_000 / max(len(rows), 1), 1.5, 14))
        axes.scatter(across(nod[rows]), up(don[rows]), s=size, c=colour, linewidths=0, alpha=0.7, label=name)
    kept = contents.kept & np.isfinite(don) & np.isfinite(nod)
    region = outline(densest_region(across(nod[kept]), up(don[kept])))
    axes.add_collection(LineCollection([[(a, b), (c, d)] for a, b, c, d in region], colors=INK, linewidths=1.4))
    _ticks(axes, across, up)
    axes.set_xlabel("NOD, smaller is better", color=INK)
    axes.set_ylabel("DON, larger is better", color=INK)
    axes.set_title("DON and NOD, outlined where the kept rows lie most densely", color=INK, loc="left", fontsize=11)
    axes.legend(loc="lower left", frameon=False, markerscale=2)
    return figure


def scores(contents: Contents) -> Figure | None:
    """Return the distributions of all scores among all rows and the kept ones; None without scores."""
    if not contents.signals:
        return None
    rows = -(-len(contents.signals) // COLUMNS)
    figure = Figure(figsize=(12, 2.3 * rows), layout="constrained", facecolor="white")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in panels[len(contents.signals) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(panels, contents.signals.items(), strict=False):
        scale, bins, title = signal_axis(name, values)
        edges = np.linspace(0.0, 1.0, bins + 1)
        axes.stairs(bin_shares(values, scale, bins), edges, fill=True, color=LEFT, label="all rows")
        axes.stairs(bin_shares(values[contents.kept], scale, bins), edges, color=KEPT, label="kept rows")
        axes.set_title(title, color=INK, loc="left", fontsize=10)
        axes.set_xticks(*_split_ticks(scale.ticks(MIN_TICK_DISTANCE)), fontsize=8)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def _ticks(axes: Axes, across: Scale, up: Scale) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks(*_split_ticks(across.ticks(0.14)))
    axes.set_yticks(*_split_ticks(up.ticks(0.06)))
    axes.spines[["top", "right"]].set_visible(False)


def _split_ticks(ticks: list[tuple[float, str]]) -> tuple[list[float], list[str]]:
    return [position for position, _ in ticks], [text for _, text in ticks]
