"""Declares settings: default, range, help text and command-line flag in one pydantic field.

`curate.schemas.sections` declares the settings with `setting`; the command line, ``curate.toml`` and the environment
all read the same fields.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.schemas.defaults import format_default

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

MANY = 1_000_000_000
"""Largest count that a setting may have where nothing else bounds it; more is a slip of the keyboard."""

Syntax = Literal["value", "repeated", "commas", "pairs", "ids", "off"]
"""How a setting is typed on the command line.

``value``: once, or as a bare flag for a bool. ``repeated``: once for each item. ``commas``: items separated by commas.
``pairs``: ``key=value``, repeated. ``ids``: an example id or ``@file``, repeated. ``off``: a bare flag that sets it to
false.
"""


class Section(BaseModel):
    """Base class of the sections of ``curate.toml``: frozen; unknown keys and infinite numbers are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Typed:
    """How a setting appears on the command line."""

    flags: tuple[str, ...] = ()
    """Flags; if empty, ``--`` and the field's name with dashes."""
    syntax: Syntax = "value"
    shown: str | None = None
    """Text to show as the default, if the value itself is None or unclear."""


def setting(
    default: Any,
    about: str,
    *flags: str,
    syntax: Syntax = "value",
    shown: object = None,
    **constraints: Any,
) -> Any:
    """Return a pydantic field with its help text and flags.

    Parameters
    ----------
    default : any
        Default value. A callable is a default factory.
    about : str
        Help text, one sentence; the default is appended where it is printed.
    *flags : str
        Flags, if not the field's name with dashes.
    syntax : str
        How it is written on the command line; see `Syntax`.
    shown : object, optional
        Text to show as the default instead of the value.
    **constraints
        Passed to `pydantic.Field`: ``ge``, ``gt``, ``le``, ``lt``, ``pattern``, ``min_length``.
    """
    # json_schema_extra is the one place in a pydantic field for data of our own; it must be a dict.
    typed = Typed(flags, syntax, None if shown is None else format_default(shown))
    given = {"default_factory": default} if callable(default) else {"default": default}
    return Field(**given, description=about, json_schema_extra={"typed": asdict(typed)}, **constraints)


def typed_of(field: FieldInfo) -> Typed:
    """Return how a field declared by `setting` appears on the command line."""
    extra = field.json_schema_extra
    return Typed(**extra["typed"]) if isinstance(extra, dict) else Typed()  # type: ignore[arg-type]


def help_of(field: FieldInfo, words: str = "") -> str:
    """Return the help text of a setting with its default at the end: ``"Rank of the low-rank methods. [8]"``.

    `words`, if given, stand in place of its description.
    """
    shown = typed_of(field).shown
    if shown is None:
        shown = format_default(field.default)
    return f"{words or field.description or ''}{f' [{shown}]' if shown else ''}"
