"""The names of roles in lists of turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.storage.formats.rows import RowProblem, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.schemas.corpus import Role

ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
CALLS = ("function_call", "tool_call")
"""Roles of turns whose content is a call."""


def role_of_turn(given: object, number: int, column: str) -> tuple[Role, bool]:
    """Return the role that `given` names, and whether the turn is a call; RowProblem if it names none."""
    name = given.strip().lower() if isinstance(given, str) else None
    role = ROLES.get(name) if name is not None else None
    if name is None or role is None:
        named = f"the unknown role {printable(str(given), 40)!r}" if given else "no role"
        raise RowProblem(column, f"turn {number} has {named}; known are {', '.join(ROLES)}")
    return role, name in CALLS
