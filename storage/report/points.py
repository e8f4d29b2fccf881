"""Places of the report's points: layouts in the unit square, and the plane of DON and NOD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.storage.report.packing import bytes_of, packed, twelve_bits_of
from curate.storage.report.scales import Scale, densest_region, outline, scale_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents

POINTS = 5_000
"""Largest number of points in the plane; of more rows, evenly spaced ones. The outline is that of all rows."""


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


def plane(contents: Contents) -> dict[str, Any] | None:
    """Return the DON/NOD plane: points, ticks, and the outline of the densest region of the kept rows."""
    if "don" not in contents.signals or "nod" not in contents.signals:
        return None
    don, nod = contents.signals["don"], contents.signals["nod"]
    usable = np.flatnonzero(np.isfinite(don) & np.isfinite(nod))
    across: Scale = scale_of(nod[usable], "log")
    up: Scale = scale_of(don[usable], "asinh")
    n_points = min(len(usable), POINTS)
    rows = usable[np.arange(n_points) * len(usable) // max(n_points, 1)]
    kept = usable[contents.kept[usable]]
    region = densest_region(across(nod[kept]), up(don[kept]))
    return {
        "drawn": len(rows),
        "packed": packed(
            [twelve_bits_of(across(nod[rows])), twelve_bits_of(up(don[rows])), bytes_of(contents.kept[rows])]
        ),
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
