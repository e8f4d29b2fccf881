"""Draws a selection: the corpus map, and the shares of corpus and selection per cluster.

Needs matplotlib, an optional dependency.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from curate.storage.warehouse.warehouse import Warehouse

COLOURS = "viridis"
LEFT, KEPT, INK = "#c9ced6", "#d1495b", "#22262b"
POINTS_DRAWN = 20_000
CLUSTERS_SHOWN = 20
CLUSTERS_NUMBERED = 9
"""Number of clusters that are numbered on the map and beside their bars."""


def draw(warehouse: Warehouse, selection_id: str, path: Path) -> None:
    """Draw a selection that has clusters into a PNG file.

    Raises
    ------
    WarehouseError
        If the selection or its clusters do not exist, or the file cannot be written.
    """
    selection = warehouse.manifest("selection", selection_id)
    points = warehouse.read("clusters", selection.inputs["clusters"], columns=["cluster", "map_x", "map_y"])
    ledger = warehouse.read("selection", selection_id)
    rows = warehouse.read("selection", selection_id, "allocation").to_pylist()
    if named := {row["cluster"]: [row["group"]] for row in rows if row.get("group") is not None}:
        numbers = {name: number for number, (name,) in named.items()}
        groups = pa.array([numbers[name] for name in ledger["group"].to_pylist()], pa.int32())
        points = points.set_column(0, "cluster", groups)
    described = warehouse.read("clusters", selection.inputs["clusters"], "terms").to_pylist()
    terms = named or {row["cluster"]: row["terms"] for row in described}
    rows.sort(key=lambda row: (-(row["degradation"] or 0.0), row["cluster"]))
    figure = Figure(figsize=(13, 6.2), layout="constrained", facecolor="white")
    figure.suptitle(
        f"{selection.settings['method']}, budget {selection.settings['budget']}: "
        f"{selection.facts['n_kept']:,} of {selection.facts['n_examples']:,} examples kept",
        color=INK, fontsize=14, x=0.01, ha="left",
    )  # fmt: skip
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    degradation = {row["cluster"]: row["degradation"] for row in rows}
    worst = [row["cluster"] for row in rows[:CLUSTERS_NUMBERED] if row["degradation"] is not None]
    _map(figure, left, points, ledger["kept"].to_numpy(zero_copy_only=False), degradation, worst)
    _bars(right, rows[:CLUSTERS_SHOWN], terms, len(rows))
    atomic.make_folder(path.parent)
    atomic.write_bytes(path, png(figure))


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file; no software version, so that equal figures give equal bytes."""
    from io import BytesIO

    target = BytesIO()
    figure.savefig(target, format="png", dpi=120, metadata={"Software": None})
    return target.getvalue()


def _map(
    figure: Figure,
    axes: Axes,
    points: pa.Table,
    kept: NDArray[np.bool_],
    degradation: dict[int, float | None],
    numbered: list[int],
) -> None:
    """Scatter the corpus, coloured by the degradation of clusters; kept rows larger, numbers on the worst clusters."""
    x, y, cluster = (points[name].to_numpy() for name in ("map_x", "map_y", "cluster"))
    shown = np.zeros(len(x), dtype=np.bool_)
    shown[:: max(1, -(-len(x) // POINTS_DRAWN))] = True
    values = np.array([degradation.get(k) or np.nan for k in cluster.tolist()])
    size = float(np.clip(30_000 / max(1, shown.sum()), 2, 30))
    finite = values[np.isfinite(values)]
    colour = {"vmin": finite.min(), "vmax": finite.max(), "cmap": COLOURS} if len(finite) else {}
    for rows, style in (
        (shown & ~kept, {"s": size, "alpha": 0.35, "linewidths": 0}),
        (shown & kept, {"s": size * 2.2, "edgecolors": INK, "linewidths": 0.5, "label": "kept"}),
    ):
        dots = axes.scatter(x[rows], y[rows], c=values[rows] if colour else LEFT, **colour, **style)
    if colour:
        bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.02)
        bar.set_label("degradation of the cluster (mean divergence, nats)", color=INK)
        bar.outline.set_visible(False)
    for number, k in enumerate(numbered, start=1):
        place = (float(x[cluster == k].mean()), float(y[cluster == k].max()))
        axes.annotate(str(number), place, (0, 3), textcoords="offset points", ha="center", color=INK, weight="bold")
    axes.set_title("Corpus map, kept rows with an edge", color=INK, loc="left", fontsize=11)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _bars(axes: Axes, rows: list[dict[str, Any]], terms: dict[int, list[str]], n_clusters: int) -> None:
    """Draw bars of the share of the corpus and of the selection for every cluster, most degraded on top."""
    position = np.arange(len(rows))[::-1]
    size = np.array([row["size"] for row in rows], dtype=np.float64)
    kept = np.array([row["kept"] for row in rows], dtype=np.float64)
    total, taken = max(size.sum(), 1), max(kept.sum(), 1)
    axes.barh(position + 0.19, 100 * kept / taken, height=0.36, color=KEPT, label="share of the selection")
    axes.barh(position - 0.19, 100 * size / total, height=0.36, color=LEFT, label="share of the corpus")
    labels = [_label(number, row, terms) for number, row in enumerate(rows, start=1)]
    axes.set_yticks(position, labels, fontsize=8, color=INK)
    axes.set_xlabel("percent", color=INK)
    kind = "Groups" if rows and rows[0].get("group") is not None else "Clusters"
    title = f"{kind}, most degraded first (mean divergence in nats)"
    axes.set_title(
        title if len(rows) == n_clusters else f"{title}, {len(rows)} of {n_clusters}",
        color=INK,
        loc="left",
        fontsize=11,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)


def _label(number: int, row: dict[str, Any], terms: dict[int, list[str]]) -> str:
    named = textwrap.shorten(", ".join(terms[row["cluster"]]), width=38, placeholder=" …")
    if row["degradation"] is None:
        return named
    return f"{named}  {row['degradation']:.3f}" + (f"   {number}" if number <= CLUSTERS_NUMBERED else "    ")
