"""Histograms of every signal over all rows and over the kept rows, as SVG paths for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.scores import UNITS
from curate.storage.report.scales import Kind, Scale, bin_shares, scale_of, tick_label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents

WIDTH, HEIGHT = 320.0, 96.0
"""Size of one drawing in SVG units."""
BINS = 48
LENGTHS = ("n_prompt_tokens", "n_response_tokens")

_KINDS: dict[str, Kind] = {
    "don": "asinh", "nod": "log", "nll_original": "asinh", "nll_compressed": "asinh",
    "positive_excess": "asinh",
}  # fmt: skip
NAMES = {
    "cds": "Damage (cds)",
    "don": "DON",
    "nod": "NOD",
    "nll_original": "Loss of the original",
    "nll_compressed": "Loss of the compressed",
    "entropy": "Entropy",
    "el2n": "EL2N",
    "ifd": "Instruction-following difficulty",
    "positive_excess": "Loss above the original's",
    "unlikely_share": "Tokens unlikely to the original",
    "n_prompt_tokens": "Prompt length",
    "n_response_tokens": "Response length",
}


def distributions(contents: Contents) -> list[dict[str, Any]]:
    """Return one drawing per signal: two outlines as SVG paths, medians, ticks and a text for screen readers."""
    return [_drawing(name, values, contents.kept) for name, values in contents.signals.items()]


MIN_TICK_DISTANCE = 0.15
"""Smallest distance of two ticks, as a share of the axis."""


def signal_axis(name: str, values: NDArray[np.float64]) -> tuple[Scale, int, str]:
    """Return the scale of a signal's axis, the number of bins, and the title of the drawing."""
    scale, bins = scale_of(values, _KINDS.get(name, "linear")), BINS
    if name in LENGTHS:
        scale, bins = _integer_bins(scale)
    return scale, bins, NAMES.get(name, name)


def _drawing(name: str, values: NDArray[np.float64], kept: NDArray[np.bool_]) -> dict[str, Any]:
    scale, bins, title = signal_axis(name, values)
    of_all, of_kept = bin_shares(values, scale, bins), bin_shares(values[kept], scale, bins)
    top = max(float(of_all.max()), float(of_kept.max()), 1e-12)
    medians = [_median(values), _median(values[kept])]
    return {
        "name": name,
        "title": title,
        "unit": UNITS.get(name, "tokens"),
        "all": _steps(of_all / top),
        "kept": _steps(of_kept / top),
        "ticks": [(round(position * WIDTH, 2), text) for position, text in scale.ticks(MIN_TICK_DISTANCE)],
        "medians": [
            None if value is None else round(float(scale(np.array([value]))[0]) * WIDTH, 2) for value in medians
        ],
        "words": f"{title}: median {_worded(medians[0])} of all rows, {_worded(medians[1])} of the kept rows.",
    }


def _integer_bins(scale: Scale) -> tuple[Scale, int]:
    """Return a scale and a number of bins such that every bin covers the same number of integers.

    With bins of another width, some would cover one integer more than others, and the histogram would be jagged.
    """
    low, high = int(np.floor(scale.low)), int(np.ceil(scale.high))
    width = -(-(high - low + 1) // BINS)
    bins = -(-(high - low + 1) // width)
    return Scale("linear", low - 0.5, low - 0.5 + bins * width), bins


def _steps(heights: NDArray[np.float64]) -> str:
    """Return a closed step outline as an SVG path; the base line is at `HEIGHT`."""
    width = WIDTH / len(heights)
    points = [f"M0 {HEIGHT:g}"]
    for index, height in enumerate(heights):
        y = HEIGHT * (1.0 - 0.97 * height)
        points.append(f"L{index * width:.2f} {y:.2f}L{(index + 1) * width:.2f} {y:.2f}")
    return "".join([*points, f"L{WIDTH:g} {HEIGHT:g}Z"])


def _median(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None


def _worded(value: float | None) -> str:
    return "unknown" if value is None else tick_label(float(f"{value:.3g}"))
