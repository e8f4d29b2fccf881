"""One option of the command line, made from the setting that it fills."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from curate.schemas.fields import Typed, help_of, typed_of
from curate.schemas.sections import RunSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_SCALARS = (int, float, bool, Path)


@dataclass(frozen=True)
class Option:
    """One option of the command line."""

    path: str
    """The setting that it fills, sections separated by dots: ``"score.max_length"``."""
    flags: tuple[str, ...] = ()
    """Flags in this group; those of the setting where empty."""
    words: str = ""
    """Description in this group; that of the setting where empty."""

    @property
    def field(self) -> FieldInfo:
        """The setting's field."""
        section: Any = RunSettings
        *sections, name = self.path.split(".")
        for step in sections:
            section = section.model_fields[step].annotation
        field: FieldInfo = section.model_fields[name]
        return field

    @property
    def name(self) -> str:
        """Name of the Python parameter."""
        return self.path.rpartition(".")[2] + "_"

    @property
    def typed(self) -> Typed:
        """How the setting is typed."""
        return typed_of(self.field)

    @property
    def help(self) -> str:
        """Help text, with the default."""
        return help_of(self.field, self.words)

    def describe(self) -> str:
        """Return the help text as it is printed."""
        return self.help

    @property
    def type(self) -> Any:
        """What Typer parses: a bool is a bare flag, a list an option that may be repeated."""
        if self.typed.syntax in ("repeated", "pairs", "ids"):
            return list[str]
        if self.typed.syntax == "commas":
            return str
        kind = next((one for one in get_args(self.field.annotation) if one is not NoneType), self.field.annotation)
        kind = self.field.annotation if self.field.annotation in _SCALARS else kind
        return kind if kind in _SCALARS else str

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every flag, as it is typed."""
        return self.flags or self.typed.flags or ("--" + self.name.strip("_").replace("_", "-"),)

    def parameter(self, panel: str) -> inspect.Parameter:
        """Return the option as a parameter that Typer understands; absent unless typed."""
        absent: Any = False if self.type is bool else None
        kind: Any = bool if self.type is bool else self.type | None
        annotation: Any = Annotated[kind, typer.Option(*self.spellings, help=self.help, rich_help_panel=panel)]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=absent, annotation=annotation)
