"""Chooses the rows that a report draws, and packs what is known of each: id, decision, cluster, damage and places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.storage.report.packing import bytes_of, ids_of, packed, pairs_of, twelve_bits_of
from curate.storage.report.points import within_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents

POINTS = 50_000
"""Largest number of rows drawn; their ids take about half of a page of one megabyte."""
FIRST = 500
"""Kept rows of highest rank that are drawn whatever the number of rows."""
BOTH_LAYOUTS = 20_000
"""Largest number of rows drawn in both layouts; of more rows only the map is, the other shows little."""
DAMAGE_STEPS = 62
"""Steps of the damage above the lowest: one is 1.6 % of the range. 63 stands for a missing value."""


def drawn_rows(contents: Contents) -> NDArray[np.int64]:
    """Return the indices of the rows that are drawn, sorted by example id.

    All rows that were not forgotten, or of more than `POINTS` the first `FIRST` kept ones and evenly spaced others.
    """
    rows = np.flatnonzero(~contents.forgotten)
    if len(rows) > POINTS:
        kept = rows[contents.kept[rows]]
        first = kept[np.argsort(contents.rank[kept], kind="stable")][:FIRST]
        others = np.setdiff1d(rows, first)
        n_others = POINTS - len(first)
        rows = np.concatenate([first, others[np.arange(n_others) * len(others) // n_others]])
    by_id: NDArray[np.int64] = rows[np.argsort(contents.example_id[rows], kind="stable")]
    return by_id


def packed_rows(contents: Contents, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return what `templates/unpack.js` needs to know, and the arrays of the rows as the text ``packed``."""
    reasons, reason = np.unique(contents.reason[rows].astype(str), return_inverse=True)
    ids = contents.example_id[rows].tolist()
    parts = [ids_of(ids), bytes_of(contents.kept[rows]), pairs_of(reason)]
    if contents.cluster is not None:
        parts.append(pairs_of(contents.cluster[rows]))
    damage, most = _damage(contents, rows)
    if damage is not None:
        parts.append(bytes_of(damage))
    layouts = _layouts(contents, rows)
    parts += [twelve_bits_of(unit[:, axis]) for unit in layouts.values() for axis in (0, 1)]
    return {
        "n": len(rows),
        "digits": len(ids[0]) if ids else 0,
        "reasons": reasons.tolist(),
        "clustered": contents.cluster is not None,
        "damage": {"steps": DAMAGE_STEPS, "most": most} if damage is not None else None,
        "layouts": list(layouts),
        "packed": packed(parts),
    }


def _layouts(contents: Contents, rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return the places of the rows in the unit square, by layout; none without clusters."""
    if contents.cluster is None:
        return {}
    names = list(contents.layouts) if len(rows) <= BOTH_LAYOUTS else list(contents.layouts)[:1]
    return {name: _unit(name, contents.layouts[name])[rows] for name in names}


def _unit(layout: str, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
    if layout == "diffusion":
        return within_unit(coordinates, clipped=0.005, square=False)
    return within_unit(coordinates)


def _damage(contents: Contents, rows: NDArray[np.int64]) -> tuple[NDArray[np.uint8] | None, float]:
    """Return the damage of the rows in steps up to the 99th percentile of all rows, and that percentile in nats."""
    values = contents.signals.get("cds")
    if values is None:
        return None, 0.0
    most = float(np.nanquantile(values, 0.99)) or 1.0
    steps = np.round(DAMAGE_STEPS * np.clip(values[rows] / most, 0.0, 1.0))
    return np.where(np.isfinite(steps), steps, DAMAGE_STEPS + 1).astype(np.uint8), most
