"""Encodes the points of the report's map and plane compactly, so that a page can hold sixty thousand of them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.storage.report.scales import Scale, densest_region, outline, scale_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents

POINTS = 60_000
"""Largest number of points drawn; of a larger corpus, evenly spaced rows."""


def packed(values: NDArray[Any]) -> str:
    """Return an array's little-endian bytes as base64."""
    return base64.b64encode(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def _as_uint16(unit: NDArray[np.float64]) -> str:
    """Return coordinates in [0, 1] as base64 of unsigned 16-bit integers."""
    return packed(np.round(np.nan_to_num(unit) * 65535).astype(np.uint16))


def drawn_rows(n: int) -> NDArray[np.int64]:
    """Return the indices of the rows that are drawn: all, or evenly spaced ones."""
    return np.arange(0, n, max(1, -(-n // POINTS)))


def within_unit(coordinates: NDArray[np.float64], clipped: float = 0.0, square: bool = True) -> NDArray[np.float64]:
    """Return coordinates scaled to the unit square and centred in it.

    Parameters
    ----------
    coordinates : ndarray of shape (n, 2)
        Any finite coordinates.
    clipped : float
        Share of rows at each end of an axis that are drawn on the edge and do not affect its scale.
    square : bool
        Whether both axes have the same scale, so that discs stay round.
    """
    low, high = np.quantile(coordinates, [clipped, 1.0 - clipped], axis=0)
    width = np.where(high > low, high - low, 1.0)
    if square:
        width = np.full(2, width.max())
    scaled: NDArray[np.float64] = np.clip((coordinates - (low + high) / 2.0) / width + 0.5, 0.0, 1.0)
    return scaled


def corpus_map(contents: Contents) -> dict[str, Any] | None:
    """Return the map's points in every layout with cluster, damage and kept; None for a selection without clusters."""
    if not contents.layouts or contents.cluster is None:
        return None
    rows = drawn_rows(len(contents))
    scaled = {
        layout: within_unit(coordinates, *((0.005, False) if layout == "diffusion" else ()))
        for layout, coordinates in contents.layouts.items()
    }
    damage, most = _damage(contents)
    return {
        "drawn": len(rows),
        "layouts": {layout: [_as_uint16(unit[rows, axis]) for axis in (0, 1)] for layout, unit in scaled.items()},
        "cluster": packed(contents.cluster[rows].astype(np.uint16)),
        "kept": packed(contents.kept[rows].astype(np.uint8)),
        "damage": packed(damage[rows]) if damage is not None else None,
        "most": most,
    }


def _damage(contents: Contents) -> tuple[NDArray[np.uint8] | None, float]:
    """Return each row's damage as 0–255, scaled to the 99th percentile, and that percentile; None without a pair."""
    values = contents.signals.get("cds")
    if values is None:
        return None, 0.0
    most = float(np.nanquantile(values, 0.99)) or 1.0
    return np.round(255 * np.clip(np.nan_to_num(values) / most, 0.0, 1.0)).astype(np.uint8), most


def plane(contents: Contents) -> dict[str, Any] | None:
    """Return the DON/NOD plane: points, ticks, and the outline of the densest region of the kept rows."""
    if "don" not in contents.signals or "nod" not in contents.signals:
        return None
    don, nod = contents.signals["don"], contents.signals["nod"]
    usable = np.flatnonzero(np.isfinite(don) & np.isfinite(nod))
    across: Scale = scale_of(nod[usable], "log")
    up: Scale = scale_of(don[usable], "asinh")
    rows = usable[drawn_rows(len(usable))]
    kept = usable[contents.kept[usable]]
    region = densest_region(across(nod[kept]), up(don[kept]))
    return {
        "drawn": len(rows),
        "x": _as_uint16(across(nod[rows])),
        "y": _as_uint16(up(don[rows])),
        "kept": packed(contents.kept[rows].astype(np.uint8)),
        "outline": [[round(value, 4) for value in segment] for segment in outline(region)],
        "kept_inside": _share_inside(region, across(nod[kept]), up(don[kept])),
        "all_inside": _share_inside(region, across(nod[usable]), up(don[usable])),
        "x_ticks": across.ticks(0.14),
        "y_ticks": up.ticks(0.06),
    }


def _share_inside(region: NDArray[np.bool_], x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the share of points in [0, 1] that lie in the region."""
    cells = len(region)
    column, row = (np.minimum((axis * cells).astype(np.int64), cells - 1) for axis in (x, y))
    return float(region[row, column].mean()) if len(x) else 0.0
