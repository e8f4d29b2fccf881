"""One picture of a selection: the corpus on its diffusion map, and damage beside budget for every cluster.

Drawn with matplotlib, an optional dependency that this module alone imports.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from curate.storage import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from curate.storage.warehouse import Warehouse

COLOURS = "viridis"
LEFT, KEPT, INK = "#c9ced6", "#d1495b", "#22262b"
POINTS_DRAWN = 20_000
CLUSTERS_SHOWN = 20


def draw(warehouse: Warehouse, selection_id: str, path: Path) -> None:
    """Draw a selection that has clusters into a PNG file.

    Raises
    ------
    WarehouseError
        If the selection or its clusters are not there, or the file cannot be written.
    """
    made = warehouse.manifest("selection", selection_id)
    points = warehouse.read("clusters", made.inputs["clusters"], columns=["cluster", "map_x", "map_y"])
    ledger = warehouse.read("selection", selection_id, columns=["kept"])
    terms = {
        row["cluster"]: row["terms"] for row in warehouse.read("clusters", made.inputs["clusters"], "terms").to_pylist()
    }
    rows = warehouse.read("selection", selection_id, "allocation").to_pylist()
    rows.sort(key=lambda row: (-(row["degradation"] or 0.0), row["cluster"]))
    figure = Figure(figsize=(13, 6.2), layout="constrained", facecolor="white")
    figure.suptitle(
        f"{made.settings['method']}, budget {made.settings['budget']}: "
        f"{made.facts['n_kept']:,} of {made.facts['n_examples']:,} examples kept",
        color=INK, fontsize=14, x=0.01, ha="left",
    )  # fmt: skip
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    degradation = {row["cluster"]: row["degradation"] for row in rows}
    _map(figure, left, points, ledger["kept"].to_numpy(zero_copy_only=False), degradation)
    _bars(right, rows[:CLUSTERS_SHOWN], terms, len(rows))
    atomic.make_folder(path.parent)
    atomic.write_bytes(path, _png(figure))


def _png(figure: Figure) -> bytes:
    from io import BytesIO

    target = BytesIO()
    figure.savefig(target, format="png", dpi=120, metadata={"Software": None})
    return target.getvalue()


def _map(
    figure: Figure, axes: Axes, points: Any, kept: NDArray[np.bool_], degradation: dict[int, float | None]
) -> None:
    """Scatter the corpus, coloured by its cluster's degradation; kept rows ringed."""
    x, y = (points[name].to_numpy() for name in ("map_x", "map_y"))
    shown = np.zeros(len(x), dtype=np.bool_)
    shown[:: max(1, -(-len(x) // POINTS_DRAWN))] = True
    values = np.array([degradation.get(k) or np.nan for k in points["cluster"].to_pylist()])
    size = float(np.clip(30_000 / max(1, shown.sum()), 2, 30))
    if np.isfinite(values).any():
        dots = axes.scatter(x[shown], y[shown], c=values[shown], s=size, cmap=COLOURS, linewidths=0, plotnonfinite=True)
        bar = figure.colorbar(dots, ax=axes, location="bottom", shrink=0.6, aspect=40, pad=0.02)
        bar.set_label("degradation of the cluster (mean divergence, nats)", color=INK)
        bar.outline.set_visible(False)
    else:
        axes.scatter(x[shown], y[shown], c=LEFT, s=size, linewidths=0)
    ring = shown & kept
    axes.scatter(x[ring], y[ring], s=size * 1.6, facecolors="none", edgecolors=KEPT, linewidths=0.5, label="kept")
    axes.set_title("Corpus map (diffusion coordinates)", color=INK, loc="left", fontsize=11)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.legend(loc="upper right", frameon=False, markerscale=2)


def _bars(axes: Axes, rows: list[dict[str, Any]], terms: dict[int, list[str]], n_clusters: int) -> None:
    """Draw a bar of the corpus's share and one of the kept share for every cluster, most degraded on top."""
    place = np.arange(len(rows))[::-1]
    size = np.array([row["size"] for row in rows], dtype=np.float64)
    kept = np.array([row["kept"] for row in rows], dtype=np.float64)
    total, taken = max(size.sum(), 1), max(kept.sum(), 1)
    axes.barh(place + 0.19, 100 * kept / taken, height=0.36, color=KEPT, label="share of the selection")
    axes.barh(place - 0.19, 100 * size / total, height=0.36, color=LEFT, label="share of the corpus")
    axes.set_yticks(place, [_label(row, terms) for row in rows], fontsize=8, color=INK)
    axes.set_xlabel("percent", color=INK)
    title = "Clusters, most degraded first (mean divergence in nats)"
    axes.set_title(
        title if len(rows) == n_clusters else f"{title}, {len(rows)} of {n_clusters}",
        color=INK,
        loc="left",
        fontsize=11,
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)


def _label(row: dict[str, Any], terms: dict[int, list[str]]) -> str:
    named = textwrap.shorten(", ".join(terms[row["cluster"]]), width=38, placeholder=" …")
    damage = "" if row["degradation"] is None else f"  {row['degradation']:.3f}"
    return f"{named}{damage}"
