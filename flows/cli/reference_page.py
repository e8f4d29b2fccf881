"""Generates docs/commands.md from the command line's own definitions."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.flows.cli.options import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """\
# Commands

Every verb of `curate`, generated from the code: `python -m curate.flows.cli.reference_page > docs/commands.md`.

The value of a setting comes from its option, else from `CURATE_*` in the environment (`CURATE_SELECT__BUDGET=0.2`),
else from `curate.toml` in the current folder, else it is the default in brackets. Progress goes to stderr, results to
stdout; `--json` prints results as JSON, and `--debug` shows a traceback instead of a one-line message.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the environment or the run failed |
| 2 | invalid command or setting |
| 3 | an input cannot be used |
| 4 | refused by a gate |
| 130 | interrupted; run the same command again to continue where it stopped |
"""
_OWN = "own"
_KINDS: dict[Any, str] = {int: "INTEGER", float: "NUMBER", Path: "PATH"}


def commands_markdown() -> str:
    """Return the text of docs/commands.md."""
    from typer.main import get_command

    from curate.flows.cli.main import load_commands

    sections = [_section(name, command) for name, command in sorted(verbs(get_command(load_commands()), ""))]
    shared = [_shared(group) for group in GROUPS]
    return "\n".join([_HEAD, *sections, "# Options that verbs share\n", *shared])


def verbs(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    """Yield the full name and the command of every verb, sub-commands included."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _section(name: str, command: Any) -> str:
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        panel = (getattr(parameter, "rich_help_panel", None) or _OWN).removeprefix("Options: ")
        if parameter.name != "help":
            panels.setdefault(panel, []).append(parameter)
    own = panels.pop(_OWN, [])
    arguments = [one for one in own if not _is_option(one)]
    usage = " ".join(["curate", name, *(_argument(one) for one in arguments), "[OPTIONS]"])
    text = f"## curate {name}\n\n{_wrapped(_sentence(command.help))}\n\n```text\n{usage}\n```\n"
    if own:
        text += "\n| | |\n|---|---|\n" + "".join(f"| {_flags(one)} | {_sentence(one.help)} |\n" for one in own)
    if panels:
        links = ", ".join(f"[{panel}](#{panel}-options)" for panel in panels)
        text += "\n" + _wrapped(f"Also takes the options of {links}.") + "\n"
    return text


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _argument(parameter: Any) -> str:
    shown = (parameter.metavar or parameter.name.upper()) + ("..." if parameter.nargs == -1 else "")
    return shown if parameter.required else f"[{shown}]"


def _flags(parameter: Any) -> str:
    if not _is_option(parameter):
        return f"`{_argument(parameter)}`"
    flags = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
    value = "" if parameter.is_flag else f" {_KINDS.get(parameter.type_descriptor.annotation, 'TEXT')}"
    default = parameter.default
    shown = "" if parameter.is_flag or default is None or callable(default) else f" [{default}]"
    return f"{flags}{value}{shown}{' (required)' if parameter.required else ''}"


def _shared(group: str) -> str:
    rows = []
    for option in GROUPS[group]:
        flags = option.spellings
        rows.append(
            f"| {', '.join(f'`{flag}`' for flag in flags)} | `{option.path}` | {_sentence(option.describe())} |\n"
        )
    return f"## {group} options\n\n| | setting | |\n|---|---|---|\n{''.join(rows)}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def _sentence(text: str | None) -> str:
    """Return a help text on one line, safe in a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(commands_markdown())
