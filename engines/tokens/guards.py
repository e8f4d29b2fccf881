"""Checks before operations whose result can be far larger than what they are given: padding, replacing, powers.

Each check computes the size that the result would have and charges it, so that nothing large is built first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from curate.engines.tokens.limits import ALLOWED, INTEGER_BITS, LimitError, charge, weigh

if TYPE_CHECKING:
    from collections.abc import Callable

WIDEST = 10_000
"""Largest width, count or precision in an argument or a format."""

FIELD = re.compile(r"%(?:\([^)]*\))?[^a-zA-Z%]*|\{[^{}]*\}")
DIGITS = re.compile(r"\d+")


def check_power(base: Any, exponent: Any) -> None:
    """Refuse a power of more bits than a number may have."""
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * exponent > INTEGER_BITS:
        raise LimitError(f"it computes a number of more than {INTEGER_BITS} bits")


def check_product(left: Any, right: Any) -> None:
    """Charge the repetition of a text or list; refuse a product of numbers that is too large."""
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > INTEGER_BITS:
            raise LimitError(f"it computes a number of more than {INTEGER_BITS} bits")
    elif isinstance(left, int):
        charge(weigh(right) * max(left, 0))
    elif isinstance(right, int):
        charge(weigh(left) * max(right, 0))


def check_remainder(left: Any, right: Any) -> None:
    """Charge a text that is formatted with ``%``."""
    if isinstance(left, (str, bytes)):
        check_format(left, right)


def check_format(form: Any, *values: Any, **named: Any) -> None:
    """Charge a formatted text: every field may print every value."""
    text = form.decode("latin-1") if isinstance(form, bytes) else str(form)
    text = text.replace("{{", "").replace("}}", "")
    fields = FIELD.findall(text)
    widths = [int(run[:9]) for field in fields for run in DIGITS.findall(field)]
    # A width may come from another argument: ``%*d``, ``{:{}}``.
    computed = any("*" in field for field in fields if field[0] == "%") or re.search(r"\{[^{}]*\{", text)
    if computed or max(widths, default=0) > WIDEST:
        raise LimitError("it formats a text with a very large or computed width")
    charge(len(text) + sum(widths) + len(fields) * weigh([*values, *named.values()]))


def check_widths(value: Any, *arguments: Any, **named: Any) -> int:
    """Refuse very large counts; charge and return what the arguments add at most."""
    added = 0
    for argument in (*arguments, *named.values()):
        if isinstance(argument, int) and abs(argument) > WIDEST:
            raise LimitError(f"it uses a width, count or precision of more than {WIDEST}")
        added += abs(argument) if isinstance(argument, int) else weigh(argument)
    charge(weigh(value) + added)
    return added


def check_widths_only(value: Any, *arguments: Any, **named: Any) -> None:
    """Refuse very large counts where the result is charged as it is built."""
    if arguments or named:
        check_widths("", *arguments, **named)


def check_indent(value: Any, *arguments: Any, **named: Any) -> None:
    """Charge an indented text; Jinja's filter indents lines."""
    lines = value.count("\n") + 1 if isinstance(value, str) else 1
    charge(weigh(value) + lines * check_widths("", *arguments, **named))


def check_tabs(value: Any, *arguments: Any, **named: Any) -> None:
    """Charge a text whose tabs are replaced by spaces."""
    tabs = value.count("\t" if isinstance(value, str) else b"\t")
    charge(len(value) + tabs * check_widths("", *arguments, **named))


def check_replace(text: Any, old: Any = "", new: Any = "", *_: Any, **named: Any) -> None:
    """Charge the result of a replacement."""
    old, new = named.get("old", old), named.get("new", new)
    # Jinja's filter replaces in the printed form of values that are no texts.
    text, old = (one if isinstance(one, (str, bytes)) else str(one) for one in (text, old))
    charge(len(text) + (text.count(old) if type(text) is type(old) else len(text)) * weigh(new))


def check_join(separator: Any, items: list[Any]) -> None:
    """Charge the result of joining `items`."""
    charge(weigh(items) + len(items) * weigh(separator))


def check_numbers(values: Any, *arguments: Any, **named: Any) -> None:
    """Refuse to add up anything but numbers: adding lists one by one takes the square of their length."""
    if any(isinstance(argument, (list, tuple)) for argument in (*arguments, *named.values())):
        raise LimitError("it adds up lists with the filter sum")


def check_short(value: Any, *arguments: Any, **named: Any) -> None:
    """Refuse long texts for filters whose time grows with the square of the length."""
    if weigh(value) > ALLOWED.largest // 10:
        raise LimitError("it uses a filter for short texts on a long one")
    charge(weigh(value) * (1 + check_widths("", *arguments, **named)))


def refuse(*_: Any, **__: Any) -> None:
    """Refuse a method that no chat template needs and whose result cannot be bounded."""
    raise LimitError("it uses a method that is not allowed in chat templates")


OPERATORS: dict[str, Callable[[Any, Any], None]] = {
    "**": check_power, "*": check_product, "%": check_remainder,
}  # fmt: skip
"""Operators whose result is bounded beforehand; the result of ``+`` is at most the sum of its operands."""

METHODS: dict[str, Callable[..., object]] = {
    "center": check_widths, "ljust": check_widths, "rjust": check_widths, "zfill": check_widths,
    "expandtabs": check_tabs, "to_bytes": check_widths, "translate": refuse, "maketrans": refuse,
    "replace": check_replace, "join": check_join,
}  # fmt: skip
"""Methods of texts, bytes and numbers, by name."""
