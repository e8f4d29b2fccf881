"""Usual arguments pass the guards; those of a large result do not, whatever form they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from curate.engines.tokens import guards
from curate.engines.tokens.limits import ALLOWED, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = "a" * 99_999


@pytest.fixture(autouse=True)
def allowance() -> None:
    ALLOWED.open(0)


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        (guards.check_power, (2, 100)), (guards.check_power, (2.5, 10)), (guards.check_power, (2, -5)),
        (guards.check_product, ("-", 80)), (guards.check_product, (3, 4)), (guards.check_product, (-5, "a")),
        (guards.check_remainder, (7, 4)), (guards.check_remainder, ("%s is %5.2f", ("a", 1.0))),
        (guards.check_format, ("{{literal}} {:*^10} 20250101", LONG)), (guards.check_format, (b"%d", 5)),
        (guards.check_widths, ("a", 80)), (guards.check_indent, ("a\nb", 4, True)), (guards.check_tabs, ("\ta", 8)),
        (guards.check_replace, (LONG, "\n", "<br>")), (guards.check_replace, (5, "5", "6")),
        (guards.check_join, (", ", [LONG, LONG])), (guards.check_numbers, ([1], None, 0)),
        (guards.check_short, ("a b", 79)),
    ],
)  # fmt: skip
def test_usual_arguments_pass(check: Callable[..., object], arguments: tuple[object, ...]) -> None:
    check(*arguments)


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        (guards.check_power, (2, 5000)), (guards.check_product, (1 << 4000, 1 << 4000)),
        (guards.check_product, ([LONG], 100)), (guards.check_product, (10**9, "a")),
        (guards.check_remainder, ("%(a)99999d", {"a": 1})), (guards.check_remainder, ("%.*f", (10**9, 1.0))),
        (guards.check_format, ("{0:>{1}}", 1, 10**9)), (guards.check_format, ("{}" * 100, LONG)),
        (guards.check_format, (b"%99999d", 1)), (guards.check_widths, ("a", 10**5)),
        (guards.check_widths, ("a", -(10**5))),
        (guards.check_indent, ("\n" * 1000, 5000)), (guards.check_tabs, ("\t" * 1000, 5000)),
        (guards.check_tabs, (b"\t" * 1000, 5000)), (guards.check_replace, (LONG, "", LONG)),
        (guards.check_replace, (11111, "1", "x" * 999_999)), (guards.check_join, (LONG, [1] * 100)),
        (guards.check_numbers, ([[1]], None, [])), (guards.check_short, (LONG * 2, 79)), (guards.refuse, ()),
    ],
)  # fmt: skip
def test_what_would_build_something_large_is_refused(
    check: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    with pytest.raises(LimitError):
        check(*arguments)
