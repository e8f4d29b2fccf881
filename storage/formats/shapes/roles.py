"""The names of roles in lists of turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.errors import UsageError, did_you_mean
from curate.storage.formats.rows import RowProblem, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.schemas.corpus import Role

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "ai": "assistant",
    "llm": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "function_result": "tool",
    "ipython": "tool",
}
CALLS = ("function_call", "tool_call")
"""Roles of turns whose content is a call."""
_HINT = "--map role.assistant=NAME"


PREFIX = "role."
"""Before the role in ``--map role.assistant=bot,agent``."""


def roles_of_map(column_map: Mapping[str, str]) -> dict[str, str]:
    """Return the further names of roles, each with a known name, from the entries ``role.NAME`` of ``--map``.

    Raises
    ------
    UsageError
        If a role is unknown, or a name is given for two roles.
    """
    named: dict[str, str] = {}
    for entry, names in column_map.items():
        role = entry.removeprefix(PREFIX)
        if role == entry:
            continue
        if role not in ROLES:
            raise UsageError(f"--map {entry}={names} does not name a role{did_you_mean(role, list(ROLES))}")
        for name in map(_plain, names.split(",")):
            if named.setdefault(name, role) != role:
                raise UsageError(f"--map gives {name!r} the roles {named[name]} and {role}; give it one")
    return named


def role_of_turn(given: object, number: int, column: str, further: Mapping[str, str]) -> tuple[Role, bool]:
    """Return the role that `given` names, and whether the turn is a call.

    Raises
    ------
    RowProblem
        If it is neither a known name nor one of `further`.
    """
    name = _plain(given) if isinstance(given, str) else ""
    name = further.get(name, name)
    role = ROLES.get(name)
    if role is None:
        named = f"the unknown role {printable(str(given), 40)!r}" if given else "no role"
        raise RowProblem(column, f"turn {number} has {named}; known with {_HINT}, or if it is {', '.join(ROLES)}")
    return role, name in CALLS


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
