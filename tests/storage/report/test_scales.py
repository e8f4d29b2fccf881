"""Scales and densities of the report: readable ticks, shares that sum to 1, a region with the stated share."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.storage.report.scales import Kind, Scale, bin_shares, densest_region, outline, scale_of, tick_label

KINDS: tuple[Kind, ...] = ("linear", "log", "asinh")
floats = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-9)


@pytest.mark.parametrize("kind", KINDS)
@given(values=st.lists(floats, min_size=1, max_size=60))
def test_scales_are_monotonic_and_ticks_are_at_their_values(kind: Kind, values: list[float]) -> None:
    array = np.asarray(values)
    scale = scale_of(np.abs(array) if kind == "log" else array, kind)
    places = scale(np.sort(array))
    assert ((places >= 0) & (places <= 1)).all()
    assert (np.diff(places) >= 0).all()
    ticks = scale.ticks(0.1)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place, _ in ticks)
    assert all(b - a >= 0.1 - 1e-9 for (a, _), (b, _) in zip(ticks, ticks[1:], strict=False))


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (Scale("linear", 0.0, 1.0), [(0.0, "0"), (0.2, "0.2"), (0.4, "0.4"), (0.6, "0.6"), (0.8, "0.8"), (1.0, "1")]),
        (Scale("log", -6.0, -3.0), [(0.0, "10⁻⁶"), (1 / 3, "10⁻⁵"), (2 / 3, "10⁻⁴"), (1.0, "0.001")]),
        (Scale("log", np.log10(0.15), np.log10(0.6)), [(np.log(4 / 3) / np.log(4), "0.2"),
                                                       (np.log(10 / 3) / np.log(4), "0.5")]),
    ],
)  # fmt: skip
def test_ticks_are_round(scale: Scale, expected: list[tuple[float, str]]) -> None:
    ticks = scale.ticks(0.1)
    assert [text for _, text in ticks] == [text for _, text in expected]
    assert [place for place, _ in ticks] == pytest.approx([place for place, _ in expected])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (-0.5, "−0.5"), (12000, "12,000"), (1e-6, "10⁻⁶"), (-2e-7, "−2·10⁻⁷"), (3e7, "3·10⁷")],
)
def test_tick_labels(value: float, text: str) -> None:
    assert tick_label(value) == text


def test_shares_agree_with_a_histogram() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    values[:5] = np.nan
    scale = scale_of(values, "linear", clipped=0.0)
    finite = values[np.isfinite(values)]
    expected, _ = np.histogram(finite, bins=20, range=(finite.min(), finite.max()))
    assert bin_shares(values, scale, 20) == pytest.approx(expected / len(finite))
    assert bin_shares(np.array([np.nan]), scale, 4).tolist() == [0.0] * 4


def test_nothing_to_show_still_has_a_scale() -> None:
    for values in (np.array([]), np.array([np.nan]), np.array([-1.0, 0.0])):
        assert scale_of(values, "log").ticks(0.1)
    assert scale_of(np.array([3.0, 3.0]), "linear")(np.array([3.0])).tolist() == [0.5]


def test_the_region_is_the_dense_part() -> None:
    rng = np.random.default_rng(1)
    x, y = np.clip(rng.normal([[0.3], [0.7]], 0.05, (2, 5000)), 0, 1)
    region = densest_region(x, y, share=0.8)
    cells = len(region)
    held = region[(y * cells).astype(int).clip(max=cells - 1), (x * cells).astype(int).clip(max=cells - 1)].mean()
    assert 0.75 <= held <= 0.95
    rows, columns = np.nonzero(region)
    assert abs(rows.mean() / cells - 0.7) < 0.03
    assert abs(columns.mean() / cells - 0.3) < 0.03
    assert region.sum() < cells * cells / 10
    assert not densest_region(np.array([]), np.array([])).any()


def test_the_outline_closes_around_the_region() -> None:
    region = np.zeros((6, 6), dtype=bool)
    region[1:4, 2:5] = True
    region[0, 0] = True
    segments = outline(region)
    assert len(segments) == 12 + 4
    ends = Counter((round(x, 9), round(y, 9)) for x1, y1, x2, y2 in segments for x, y in ((x1, y1), (x2, y2)))
    assert all(count % 2 == 0 for count in ends.values())
    assert (2 / 6, 1 / 6) in {(x, y) for x, y in ends} or any(abs(x - 2 / 6) + abs(y - 1 / 6) < 1e-6 for x, y in ends)
