"""Draws the measures of a model's decoder layers: one panel for each measure, one bar for each layer.

Needs matplotlib, an optional dependency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from curate.storage.report.selection_picture import INK, png
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

TITLES = {
    "influence": "influence: 1 − cosine of the hidden states before and after the layer",
    "change": "change: length of what the layer adds, relative to its input",
    "angle": "angle between input and output, / π",
    "loss_without": "rise of the loss without the layer, nats per token",
    "error_from_original": "distance of its output from the original model's, relative",
}
HIGHEST, LOWEST, OTHER = "#d1495b", "#3c6e91", "#c9ced6"
LEAST = 1e-6
"""Smallest linear part of a scale, for models whose layers change nothing."""
MARKED = 3
"""Layers marked at each end of a panel."""


def draw(layers: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the layers of a diagnosis into a PNG file.

    Parameters
    ----------
    layers : sequence of dict
        ``layer`` and the metrics of each decoder layer, as `curate.flows.operations.diagnose.by_layer` returns them.

    Raises
    ------
    WarehouseError
        If the file cannot be written.
    """
    atomic.make_folder(path.parent)
    atomic.write_bytes(path, png(layer_figure(layers)))


def layer_figure(layers: Sequence[dict[str, Any]]) -> Figure:
    """Return the figure; its panels are the metrics that were measured."""
    metrics = [name for name in TITLES if name in layers[0]]
    figure = Figure(figsize=(max(6.0, 0.3 * len(layers)), 1.5 * len(metrics)), layout="constrained", facecolor="white")
    panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
    for axes, metric in zip(panels, metrics, strict=True):
        _panel(axes, [layer["layer"] for layer in layers], np.array([layer[metric] for layer in layers]))
        axes.set_title(TITLES[metric], color=INK, loc="left", fontsize=9)
    panels[-1].set_xlabel("decoder layer", color=INK)
    return figure


def _panel(axes: Axes, numbers: Sequence[int], values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Draw one metric; the layers with the highest and the lowest values are coloured and numbered."""
    order = np.argsort(values, kind="stable")
    # In a small model the two ends may not meet.
    marked = min(MARKED, len(values) // 2)
    colours = [OTHER] * len(values)
    for ends, colour in ((order[:marked], LOWEST), (order[len(order) - marked :], HIGHEST)):
        for index in ends:
            colours[index] = colour
            label = str(numbers[index])
            axes.annotate(
                label, (numbers[index], max(values[index], 0.0)), color=colour, fontsize=8, ha="center", va="bottom"
            )
    axes.bar(list(numbers), values, color=colours)
    # The first layer can matter a hundred times as much as the median one: linear below the median, logarithmic above.
    axes.set_yscale("symlog", linthresh=max(float(np.median(np.abs(values))), LEAST))
    axes.margins(x=0.01, y=0.25)
    axes.tick_params(colors=INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
