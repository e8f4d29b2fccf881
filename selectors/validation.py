"""Validation of selector settings. Messages name the command-line flag, where users type the value."""

from __future__ import annotations

from curate.schemas.errors import UsageError, did_you_mean


def check_choice(flag: str, value: str, known: tuple[str, ...]) -> None:
    """Raise UsageError unless `value` is one of `known`."""
    if value not in known:
        raise UsageError(f"{flag} {value!r} is unknown{did_you_mean(value, known)}")


def check_number(flag: str, value: float, low: float, high: float, *, below: bool = False) -> None:
    """Raise UsageError unless low <= value <= high (value < high if `below`); NaN never passes."""
    if not (low <= value < high if below else low <= value <= high):
        raise UsageError(f"{flag} {value} is outside [{low:g}, {high:g}{')' if below else ']'}; give a number inside")
