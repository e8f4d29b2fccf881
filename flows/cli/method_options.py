"""Options of the selection methods, whose settings are the dataclasses beside each method.

Help texts and defaults are read from these when help is printed: importing the methods at every start would make every
verb slower.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from typer.core import TyperCommand

from curate.flows.cli.option import Option
from curate.schemas.defaults import format_default
from curate.schemas.fields import Typed


@dataclass(frozen=True)
class MethodOption(Option):
    """An option that fills a setting of the chosen selection method."""

    kind: type[Any] = str

    @property
    def typed(self) -> Typed:
        """How the setting is typed; a flag with ``no`` turns a bool off."""
        return Typed(self.flags, "off" if self.flags else "value")

    @property
    def type(self) -> type[Any]:
        """What Typer parses."""
        return self.kind

    @property
    def help(self) -> str:
        """Empty while the command line is built: reading it imports every method."""
        return ""

    def describe(self) -> str:
        """Return the help text: what the setting means in every method that has it, and its default."""
        from curate.selectors.registry import SELECTORS

        name = self.path.rpartition(".")[2]
        texts: dict[str, list[str]] = {}
        for method, entry in SELECTORS.items():
            for item in fields(entry.settings):
                if item.name == name:
                    default = format_default(item.default)
                    about = item.metadata.get("about", "") + (f" [{default}]" if default else "")
                    texts.setdefault(about, []).append(method)
        return "; ".join(f"{', '.join(methods)}: {about}" for about, methods in texts.items())


def _option(name: str, kind: type[Any] = str, *flags: str) -> MethodOption:
    return MethodOption(f"select.options.{name}", flags, kind=kind)


METHOD_OPTIONS = (
    _option("allocation"),
    _option("gamma", float),
    _option("groups"),
    _option("rank"),
    _option("consistency"),
    _option("expectation", float),
    _option("fill", bool, "--no-fill"),
    _option("filter"),
    _option("filter_share", float),
    _option("don_weight", float),
    _option("normalise"),
    _option("don_direction"),
    _option("stratify"),
    _option("anchor_share", float),
    _option("signal"),
    _option("prefer"),
    _option("source"),
    _option("target"),
    _option("like"),
    _option("bin_tokens", int),
)


class MethodCommand(TyperCommand):
    """A verb that takes the methods' options, whose help texts it looks up when help is printed."""

    def describe_options(self) -> None:
        """Fill in the help texts."""
        options = {option.name: option for option in METHOD_OPTIONS}
        for parameter in self.params:
            if parameter.name in options:
                parameter.help = options[parameter.name].describe()  # type: ignore[attr-defined]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print help with the options' texts."""
        self.describe_options()
        super().format_help(ctx, formatter)
