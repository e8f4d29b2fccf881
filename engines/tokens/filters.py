"""Jinja's filters with limits: arguments are checked first, and what a filter builds is charged."""

from __future__ import annotations

import json
from functools import wraps
from typing import TYPE_CHECKING, Any

from curate.engines.tokens.guards import (
    check_format,
    check_indent,
    check_join,
    check_numbers,
    check_replace,
    check_short,
    check_widths,
    check_widths_only,
)
from curate.engines.tokens.limits import sized, tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FILTERS: dict[str, Callable[..., object]] = {
    "center": check_widths, "indent": check_indent, "batch": check_widths, "slice": check_widths,
    "truncate": check_widths, "round": check_widths, "tojson": check_widths_only, "format": check_format,
    "replace": check_replace, "sum": check_numbers, "wordwrap": check_short, "striptags": check_short,
    "urlize": check_short, "xmlattr": check_short, "pprint": check_short,
}  # fmt: skip
"""Jinja's filters whose arguments are checked first."""

BUILDERS = (
    "e", "escape", "forceescape", "urlencode", "string", "list", "items", "dictsort", "groupby", "int", "sort",
    "title", "upper", "lower", "capitalize", "safe", "join",
)  # fmt: skip
"""Filters whose result is charged, and whose arguments cannot make it large."""

LAZY = ("map", "select", "reject", "selectattr", "rejectattr", "unique")
"""Filters that read one item after another, each of which is charged as a step of a loop."""


def guarded_filters(filters: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return Jinja's `filters` with their limits, and JSON as chat templates expect it."""
    known = {**filters, "tojson": _to_json}
    built = {name: guarded(FILTERS.get(name), known[name]) for name in (*FILTERS, *BUILDERS)}
    lazy = {name: _stepping(known[name]) for name in LAZY}
    return {**known, **built, **lazy, "join": _listing(built["join"])}


def guarded(check: Callable[..., object] | None, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with a check of its arguments and a charge for its result."""
    # A filter may get Jinja's context or environment as its first argument; `wraps` copies the mark that says so.
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def checked(*arguments: Any, **named: Any) -> Any:
        if check is not None:
            check(*arguments[skipped:], **named)
        return sized(function(*arguments, **named))

    return checked


def _listing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return Jinja's filter ``join`` for items that may come from a generator, with a charge for its result."""

    @wraps(function)
    def listing(context: Any, value: Any, *arguments: Any, **named: Any) -> Any:
        listed = list(value)
        separator = named["d"] if "d" in named else arguments[0] if arguments else ""
        # Before the attribute is taken, the items weigh at least as much as after.
        check_join(separator, listed)
        return function(context, listed, *arguments, **named)

    return listing


def _stepping(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a filter of items that charges a step for each that it reads, whether it yields it or not."""

    @wraps(function)
    def stepping(context: Any, values: Any, *arguments: Any, **named: Any) -> Any:
        # What is false (none, undefined) is empty for these filters; a generator never is.
        return function(context, _steps(values) if values else values, *arguments, **named)

    return stepping


def _steps(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        tick()
        yield value


def _to_json(
    x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # Jinja's own filter escapes for HTML.
    form = {"ensure_ascii": ensure_ascii, "separators": separators, "sort_keys": sort_keys}
    if indent is None:
        return json.dumps(x, **form)
    # Indentation grows with the depth: long pieces are charged one by one, before they are joined.
    return "".join(map(sized, json.JSONEncoder(indent=indent, **form).iterencode(x)))
