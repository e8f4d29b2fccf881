"""How every score is distributed among all rows and among the kept ones, as shapes of a small drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.schemas.scores import UNITS
from curate.storage.report.scales import Kind, Scale, bin_shares, scale_of, tick_label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.storage.report.contents import Contents

WIDTH, HEIGHT = 320.0, 96.0
"""Size of one drawing, in its own units."""
BINS = 48
LENGTHS = ("n_prompt_tokens", "n_response_tokens")

_KINDS: dict[str, Kind] = {
    "don": "asinh", "nod": "log", "nll_original": "asinh", "nll_compressed": "asinh",
}  # fmt: skip
_NAMES = {
    "cds": "Damage (cds)",
    "don": "DON",
    "nod": "NOD",
    "nll_original": "Loss of the original",
    "nll_compressed": "Loss of the compressed",
    "entropy": "Entropy",
    "el2n": "EL2N",
    "ifd": "Instruction-following difficulty",
    "n_prompt_tokens": "Prompt length",
    "n_response_tokens": "Response length",
}


def distributions(contents: Contents) -> list[dict[str, Any]]:
    """Return one drawing a signal: two outlines as SVG paths, medians, ticks and a sentence for who cannot see it."""
    return [_drawing(name, values, contents.kept) for name, values in contents.signals.items()]


MIN_TICK_DISTANCE = 0.15
"""Least distance of two ticks, as a share of the axis."""


def signal_axis(name: str, values: NDArray[np.float64]) -> tuple[Scale, int, str]:
    """Return the scale on which a signal is drawn, the number of bins, and its name for a person."""
    scale, bins = scale_of(values, _KINDS.get(name, "linear")), BINS
    if name in LENGTHS:
        scale, bins = _whole(scale)
    return scale, bins, _NAMES.get(name, name)


def _drawing(name: str, values: NDArray[np.float64], kept: NDArray[np.bool_]) -> dict[str, Any]:
    scale, bins, title = signal_axis(name, values)
    everything, taken = bin_shares(values, scale, bins), bin_shares(values[kept], scale, bins)
    top = max(float(everything.max()), float(taken.max()), 1e-12)
    medians = [_median(values), _median(values[kept])]
    return {
        "name": name,
        "title": title,
        "unit": UNITS.get(name, "tokens"),
        "all": _steps(everything / top),
        "kept": _steps(taken / top),
        "ticks": [(round(place * WIDTH, 2), text) for place, text in scale.ticks(MIN_TICK_DISTANCE)],
        "medians": [
            None if value is None else round(float(scale(np.array([value]))[0]) * WIDTH, 2) for value in medians
        ],
        "words": f"{title}: median {_worded(medians[0])} of all rows, {_worded(medians[1])} of the kept rows.",
    }


def _whole(scale: Scale) -> tuple[Scale, int]:
    """Return a scale and a number of bins that each hold the same number of whole numbers, or some would look empty."""
    low, high = int(np.floor(scale.low)), int(np.ceil(scale.high))
    wide = -(-(high - low + 1) // BINS)
    bins = -(-(high - low + 1) // wide)
    return Scale("linear", low - 0.5, low - 0.5 + bins * wide), bins


def _steps(heights: NDArray[np.float64]) -> str:
    """Return a closed step outline as an SVG path; the base line is at `HEIGHT`."""
    wide = WIDTH / len(heights)
    points = [f"M0 {HEIGHT:g}"]
    for place, height in enumerate(heights):
        y = HEIGHT * (1.0 - 0.97 * height)
        points.append(f"L{place * wide:.2f} {y:.2f}L{(place + 1) * wide:.2f} {y:.2f}")
    return "".join([*points, f"L{WIDTH:g} {HEIGHT:g}Z"])


def _median(values: NDArray[np.float64]) -> float | None:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else None


def _worded(value: float | None) -> str:
    return "unknown" if value is None else tick_label(float(f"{value:.3g}"))
