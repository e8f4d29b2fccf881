"""Column names of corpora: which names stand for which part of a conversation, and renaming by ``--map``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError, UsageError, did_you_mean
from curate.storage.formats.rows import join_columns
from curate.storage.formats.shapes.roles import PREFIX, roles_of_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INSTRUCTION = ("instruction",)
PROMPT = ("prompt", "query", "inputs", "input")
QUESTION = ("question", "question_stem")
RESPONSE = ("output", "completion", "response", "answer", "targets")
CONTEXT = ("input", "context", "passage")
SYSTEM = ("system", "system_prompt")
CONVERSATIONS = ("conversations", "conversation")
MESSAGES = ("messages",)
TOOLS = ("tools", "functions")
LICENCE = ("licence", "license")
GROUP = ("group",)
HISTORY = ("history",)
REJECTED = "rejected"
"""The worse answers of preference data, which are never read."""
CHOICES = ("choices", "options")
CHOICE_COLUMNS = ("a", "b", "c", "d", "e")
ANSWER_KEY = ("answer", "answerkey", "output")

KNOWN_COLUMNS = frozenset(
    INSTRUCTION + PROMPT + QUESTION + RESPONSE + CONTEXT + SYSTEM + CONVERSATIONS + MESSAGES + TOOLS + CHOICES
)
TURN_FIELDS = frozenset({"role", "from"})
"""Fields that only a turn has; they distinguish a list of turns from a list of rows."""

_ROLES: Mapping[str, tuple[str, ...]] = {
    "prompt": INSTRUCTION + PROMPT + QUESTION,
    "response": RESPONSE,
    "input": CONTEXT,
    "system": SYSTEM,
    "messages": MESSAGES + CONVERSATIONS,
    "tools": TOOLS,
    "licence": LICENCE,
    "group": GROUP,
}
"""Parts of a conversation for ``--map``, with their usual column names.

Mapping a part disables its usual columns, and any of them is accepted as the name of the part.
"""


def role_of(name: str) -> str:
    """Return the part of a conversation that `name` means on the left of ``--map``; UsageError if none."""
    if name in _ROLES:
        return name
    for role, names in _ROLES.items():
        if name in names:
            return role
    raise UsageError(f"--map {name}=… does not name a part of a conversation{did_you_mean(name, list(_ROLES))}")


class ColumnNames:
    """Renames the columns of rows to those that the shapes expect: lower case, and mapped by ``--map``.

    Parameters
    ----------
    column_map : mapping of str to str
        Part of the conversation (``prompt``, ``response``, ``input``, ``system``, ``messages``, ``tools``,
        ``licence``, ``group``, or a usual column name of it) to the file's column; or ``role.assistant`` and so on to
        further names of the role, separated by commas.

    Raises
    ------
    UsageError
        If a part is unknown or named twice, or a column is used twice.
    """

    def __init__(self, column_map: Mapping[str, str]) -> None:
        self.roles = roles_of_map(column_map)
        self._mapped: dict[str, str] = {}
        for name, column in column_map.items():
            if name.startswith(PREFIX):
                continue
            role = role_of(name)
            if role in self._mapped.values():
                raise UsageError(f"--map {name}={column} names the {role} a second time; give it once")
            if column in self._mapped:
                raise UsageError(f"--map {name}={column} uses the column {column!r} a second time; give it once")
            self._mapped[column] = role
        self._disabled = {name for role in self._mapped.values() for name in _ROLES[role]}
        if {"prompt", "response"} & set(self._mapped.values()):
            self._disabled.update(_ROLES["messages"])
        self._disabled -= set(self._mapped.values())
        self._plan = lru_cache(maxsize=256)(self._make_plan)

    def maps(self, role: str) -> bool:
        """Return whether ``--map`` names a column for this part."""
        return role in self._mapped.values()

    def rename(self, values: dict[str, object]) -> dict[str, object]:
        """Return the row with its columns renamed."""
        plan = self._plan(tuple(values))
        return values if plan is None else {new: values[old] for old, new in plan}

    def original(self, name: str, columns: Sequence[str]) -> str:
        """Return the file's name of a renamed column, or `name` if the file has no such column."""
        plan = self._plan(tuple(columns))
        return next((old for old, new in plan or () if new == name), name)

    def check(self, source: str, columns: Sequence[str]) -> None:
        """Raise InputError if a column that ``--map`` names is not among `columns`."""
        for column, role in self._mapped.items():
            if column not in columns:
                raise InputError(
                    f"{source} has no column {column!r}, which --map {role}={column} names; "
                    f"it has the columns {join_columns(list(columns))}"
                )

    def _make_plan(self, columns: tuple[str, ...]) -> tuple[tuple[str, str], ...] | None:
        """Return pairs of old and new name, or None if nothing changes."""
        plan: list[tuple[str, str]] = []
        for old in columns:
            if old in self._mapped:
                plan.append((old, self._mapped[old]))
                continue
            new = old.strip().lower()
            # A column that already has the lower-case name keeps it, as does the first of several that would get it.
            taken = new in columns or any(new == used for _, used in plan)
            if new not in self._disabled and (new == old or not taken):
                plan.append((old, new))
        return None if all(old == new for old, new in plan) and len(plan) == len(columns) else tuple(plan)
