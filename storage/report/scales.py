"""Scales with ticks, histograms and density regions for the report's pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["linear", "log", "asinh"]
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """Maps values to [0, 1]; values outside its range are clipped."""

    kind: Kind
    low: float
    """Transformed value at 0."""
    high: float
    """Transformed value at 1, larger than `low`."""
    unit: float = 1.0
    """Value around which an asinh scale changes from linear to logarithmic."""

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return positions in [0, 1], NaN for NaN."""
        return np.clip((self._transformed(values) - self.low) / (self.high - self.low), 0.0, 1.0)

    def _transformed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return _transform(values, self.kind, self.unit)

    def ticks(self, apart: float) -> list[tuple[float, str]]:
        """Return positions and labels of a few round values, no two closer than `apart`, a share of the axis.

        If there are too many, zero and powers of ten are preferred.
        """
        if self.kind == "linear":
            values = _round_steps(self.low, self.high)
        elif self.kind == "log":
            values = _powers(10.0**self.low, 10.0**self.high)
        else:
            most = np.sinh(max(abs(self.low), abs(self.high))) * self.unit
            positive = _powers(self.unit, most)
            values = [*(-value for value in positive[::-1]), 0.0, *positive]
        transformed = self._transformed(np.asarray(values, dtype=np.float64))
        positions = (transformed - self.low) / (self.high - self.low)
        ticks: list[tuple[float, float]] = []
        for position, value in sorted(
            zip(positions.tolist(), values, strict=True), key=lambda tick: _roughness(tick[1])
        ):
            if -1e-9 <= position <= 1 + 1e-9 and all(abs(position - other) >= apart for other, _ in ticks):
                ticks.append((position, value))
        return [(position, tick_label(value)) for position, value in sorted(ticks)]


def _transform(values: NDArray[np.float64], kind: Kind, unit: float) -> NDArray[np.float64]:
    if kind == "log":
        return np.log10(np.maximum(values, 1e-300))
    return np.arcsinh(values / unit) if kind == "asinh" else values


def scale_of(values: NDArray[np.float64], kind: Kind, clipped: float = 0.005) -> Scale:
    """Return the scale that covers all `values` but a share of outliers.

    Parameters
    ----------
    values : ndarray
        Values to show; non-finite ones, and on a logarithmic scale non-positive ones, are ignored.
    clipped : float
        Share of values at each end that may be clipped.
    """
    usable = values[np.isfinite(values)]
    if kind == "log":
        usable = usable[usable > 0]
    if not len(usable):
        return Scale("linear", 0.0, 1.0)
    away = np.abs(usable[usable != 0])
    unit = float(np.median(away)) if kind == "asinh" and len(away) else 1.0
    low, high = np.quantile(_transform(usable, kind, unit), [clipped, 1.0 - clipped])
    if high <= low:
        return Scale(kind, float(low) - 0.5, float(low) + 0.5, unit)
    return Scale(kind, float(low), float(high), unit)


def _roughness(value: float) -> int:
    """Return 0 for zero, 1 for powers of ten, 2 for other values; ticks are placed in this order."""
    exponent = np.log10(abs(value)) if value else 0.0
    return 0 if value == 0 else 1 if abs(exponent - round(exponent)) < 1e-9 else 2


def _round_steps(low: float, high: float, wanted: int = 5) -> list[float]:
    raw = (high - low) / wanted
    size = 10.0 ** np.floor(np.log10(raw))
    step = float(next(size * part for part in (1, 2, 5, 10) if size * part >= raw))
    first = int(np.ceil(low / step - 1e-9))
    return [number * step for number in range(first, int(np.floor(high / step + 1e-9)) + 1)]


def _powers(low: float, high: float, wanted: int = 4) -> list[float]:
    """Return powers of ten from `low` to `high`, and 2 and 5 times them where there would be fewer than three."""
    exponents = np.arange(np.floor(np.log10(low)), np.floor(np.log10(high)) + 1)
    powers = [float(10.0**exponent) for exponent in exponents]
    inside = [value for value in powers if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    if len(inside) < 3:
        finer = [part * value for value in powers for part in (1, 2, 5)]
        return [value for value in finer if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return inside[:: -(-len(inside) // wanted)]


def tick_label(value: float) -> str:
    """Return the label of a tick: ``0.25``, ``1,000``, ``−10⁻⁶``."""
    if value == 0:
        return "0"
    sign, size = "−" if value < 0 else "", abs(value)
    if 1e-3 <= size < 1e5:
        return sign + f"{size:,.3f}".rstrip("0").rstrip(".")
    exponent = int(np.floor(np.log10(size) + 1e-9))
    mantissa = size / 10.0**exponent
    factor = "" if abs(mantissa - 1) < 1e-6 else f"{mantissa:.3g}·"
    return f"{sign}{factor}10{str(exponent).translate(_SUPERSCRIPT)}"


def bin_shares(values: NDArray[np.float64], scale: Scale, bins: int) -> NDArray[np.float64]:
    """Return the share of the finite `values` in each of `bins` equal intervals of the scale."""
    positions = scale(values[np.isfinite(values)])
    counts = np.bincount(np.minimum((positions * bins).astype(np.int64), bins - 1), minlength=bins)
    return counts / max(len(positions), 1)


def densest_region(
    x: NDArray[np.float64], y: NDArray[np.float64], share: float = 0.8, cells: int = 48
) -> NDArray[np.bool_]:
    """Return the cells of the unit square, densest first, that hold `share` of the points after smoothing.

    Parameters
    ----------
    x, y : ndarray of shape (n,)
        Points in [0, 1].
    share : float
        Share of the smoothed mass in the region, in (0, 1).
    cells : int
        Cells per side.

    Returns
    -------
    ndarray of shape (cells, cells)
        ``[row, column]``: row 0 is y = 0.
    """
    counts, _, _ = np.histogram2d(y, x, bins=cells, range=[[0, 1], [0, 1]])
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.6) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        counts = np.apply_along_axis(lambda line: np.convolve(line, kernel, mode="same"), axis, counts)
    order = np.argsort(-counts, axis=None, kind="stable")
    mass = np.cumsum(counts.ravel()[order])
    inside = np.zeros(cells * cells, dtype=np.bool_)
    if mass[-1] > 0:
        inside[order[: int(np.searchsorted(mass, share * mass[-1])) + 1]] = True
    return inside.reshape(cells, cells)


def outline(inside: NDArray[np.bool_]) -> list[tuple[float, float, float, float]]:
    """Return the edges between inside and outside as segments (x1, y1, x2, y2) of the unit square."""
    rows, columns = inside.shape
    padded = np.pad(inside, 1)
    segments = []
    for row, column in np.argwhere(padded[:, 1:] != padded[:, :-1]):
        x = column / columns
        segments.append((x, (row - 1) / rows, x, row / rows))
    for row, column in np.argwhere(padded[1:, :] != padded[:-1, :]):
        y = row / rows
        segments.append(((column - 1) / columns, y, column / columns, y))
    return [tuple(float(value) for value in segment) for segment in segments]  # type: ignore[misc]
