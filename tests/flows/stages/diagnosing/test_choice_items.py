"""Halves of the items: disjoint, complete, in their order, by the seed."""

from __future__ import annotations

from typing import Any

import pytest

from curate.flows.stages.diagnosing.choice_items import halves
from curate.schemas.errors import UsageError

ITEMS: list[dict[str, Any]] = [{"item_id": str(index)} for index in range(11)]


def test_halves_divide_the_items_and_keep_their_order() -> None:
    first, held = halves(ITEMS, 0.5, 0)
    assert len(held) == round(0.5 * 11)
    assert sorted(first + held, key=ITEMS.index) == ITEMS
    assert first == sorted(first, key=ITEMS.index)
    assert held == sorted(held, key=ITEMS.index)


def test_the_seed_decides() -> None:
    assert halves(ITEMS, 0.5, 1) == halves(ITEMS, 0.5, 1) != halves(ITEMS, 0.5, 2)


@pytest.mark.parametrize("n", [0, 1])
def test_an_empty_half_is_refused(n: int) -> None:
    with pytest.raises(UsageError, match="cannot be divided"):
        halves(ITEMS[:n], 0.5, 0)
