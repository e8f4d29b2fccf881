"""Reference divisions of a budget: loops and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def first_fit_loop(cost: Sequence[int], budget: int) -> list[bool]:
    taken = []
    for price in cost:
        taken.append(price <= budget)
        budget -= price if taken[-1] else 0
    return taken


def water_fill_loop(
    weight: Sequence[Fraction], lower: Sequence[int], upper: Sequence[int], total: int
) -> list[Fraction]:
    """The exact level t with Σ clip(t·w, l, u) = total, found between neighbouring kinks."""

    def at(t: Fraction) -> list[Fraction]:
        return [min(max(t * w, Fraction(lo)), Fraction(up)) for w, lo, up in zip(weight, lower, upper, strict=True)]

    kinks = sorted(
        {Fraction(0)} | {Fraction(b) / w for bounds in (lower, upper) for b, w in zip(bounds, weight, strict=True)}
    )
    for low, high in zip(kinks, kinks[1:], strict=False):
        below, above = sum(at(low)), sum(at(high))
        if below <= total <= above:
            return at(low + (high - low) * (Fraction(total) - below) / (above - below) if above > below else low)
    return at(kinks[-1])


def allocate_loop(weight: Sequence[float], lower: Sequence[int], upper: Sequence[int], total: int) -> list[int]:
    """PASER's n_k: water-filling in fractions, what is left to zero weights by size, one largest-remainder rounding."""
    if sum(upper) <= total:
        return list(upper)
    exact = [Fraction(w) if w > 0 else Fraction(0) for w in weight]
    hurt = [k for k, w in enumerate(exact) if w > 0]
    whole = [k for k, w in enumerate(exact) if w == 0]
    share = [Fraction(lo) for lo in lower]
    for_hurt = total - sum(lower[k] for k in whole)
    if sum(upper[k] for k in hurt) > for_hurt:
        weights, lows, highs = _pick(hurt, exact, lower, upper)
        filled, members = water_fill_loop(weights, lows, highs, for_hurt), hurt
    else:
        for k in hurt:
            share[k] = Fraction(upper[k])
        members = [k for k in whole if upper[k] > 0]
        sizes = [Fraction(up) for up in upper]
        weights, lows, highs = _pick(members, sizes, lower, upper)
        filled = water_fill_loop(weights, lows, highs, total - sum(upper[k] for k in hurt))
    for k, value in zip(members, filled, strict=True):
        share[k] = value
    return largest_remainders(share, total)


def tempered_loop(
    weight: Sequence[float], lower: Sequence[int], upper: Sequence[int], total: int, floor: Fraction
) -> list[int]:
    """Water-filling in fractions above max(pins, floor · natural share), then one largest-remainder rounding."""
    if sum(upper) <= total:
        return list(upper)
    least = [max(Fraction(lo), floor * total * up / sum(upper)) for lo, up in zip(lower, upper, strict=True)]
    exact = [Fraction(w) for w in weight]
    k = len(exact)
    share: list[Fraction] = list(least)
    if sum(least) >= total:
        share, spent = [Fraction(lo) for lo in lower], total
        first, lows, weights = [i for i in range(k) if upper[i]], share, [Fraction(up) for up in upper]
    else:
        first, lows, weights = [i for i in range(k) if exact[i] > 0], least, exact
        rest = sum(least[i] for i in range(k) if i not in first)
        spent = total - rest  # type: ignore[assignment]
        if sum(upper[i] for i in first) <= spent:
            for i in first:
                share[i] = Fraction(upper[i])
            spent = total - sum(upper[i] for i in first)
            first, weights = [i for i in range(k) if exact[i] == 0 and upper[i]], list(map(Fraction, upper))
    ws, los, ups = _pick(first, weights, lows, upper)
    for i, value in zip(first, water_fill_loop(ws, los, ups, spent), strict=True):
        share[i] = value
    return largest_remainders(share, total)


def largest_remainders(share: Sequence[Fraction], total: int) -> list[int]:
    result = [math.floor(value) for value in share]
    by_remainder = sorted(range(len(share)), key=lambda k: (-(share[k] - result[k]), k))
    for k in by_remainder[: total - sum(result)]:
        result[k] += 1
    return result


def _pick(places, *columns) -> Any:
    return tuple([column[k] for k in places] for column in columns)
