"""Draws the search for the number of clusters: modularity, silhouette and label stability by number of clusters.

Needs matplotlib, an optional dependency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from curate.storage.report.selection_picture import INK, KEPT, png
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse

STABLE = "#3c6e91"
SEPARATED = "#8a6d1f"


def draw(warehouse: Warehouse, clusters_id: str, path: Path) -> None:
    """Draw the curve of a clustering whose number of clusters was searched, into a PNG file.

    Raises
    ------
    WarehouseError
        If the clusters do not exist, or the file cannot be written.
    """
    atomic.make_folder(path.parent)
    atomic.write_bytes(path, png(curve_figure(warehouse, clusters_id)))


def curve_figure(warehouse: Warehouse, clusters_id: str) -> Figure:
    """Return the figure: modularity with its standard deviation over splits, stability, silhouette, the number chosen.

    Clusters of version 3 have no silhouette, and if they have grown since, nulls.
    """
    curve = warehouse.read("clusters", clusters_id, "curve")
    k, modularity, spread, stability = (
        curve[name].to_numpy() for name in ("k", "modularity", "modularity_std", "stability")
    )
    is_known = "silhouette" in curve.column_names and not curve["silhouette"].null_count
    silhouette = curve["silhouette"].to_numpy() if is_known else None
    lowest = min(float((modularity - spread).min()), 0.0 if silhouette is None else float(silhouette.min()))
    chosen = warehouse.manifest("clusters", clusters_id).facts["n_clusters_asked"]
    figure = Figure(figsize=(8, 4.6), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.fill_between(k, modularity - spread, modularity + spread, color=KEPT, alpha=0.2, linewidth=0)
    axes.plot(k, modularity, color=KEPT, marker="o", markersize=4, label="held-out modularity ± 1 s.d. over splits")
    axes.plot(
        k, stability, color=STABLE, marker="s", markersize=3, linewidth=1, label="agreement of labels over splits"
    )
    if silhouette is not None:
        axes.plot(k, silhouette, color=SEPARATED, marker="^", markersize=3, linewidth=1, label="silhouette")
    axes.axvline(chosen, color=INK, linewidth=1, linestyle=":")
    axes.annotate(f" {chosen} chosen", (chosen, 0), color=INK, fontsize=9, va="bottom")
    axes.set_xlabel("number of clusters", color=INK)
    axes.set_ylim(min(0.0, lowest), 1.02)
    axes.set_title("How many clusters the corpus supports", color=INK, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return figure
