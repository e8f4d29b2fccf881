"""Parses lists of turns, with the keys of ShareGPT (``from``/``value``) or of the chat APIs (``role``/``content``).

A tool call becomes an assistant turn whose content is the JSON text of the call (`curate.storage.formats.shapes
.tool_calls`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.schemas.corpus import Role, Turn
from curate.storage.formats.rows import RowProblem, is_missing, printable
from curate.storage.formats.shapes.columns import SYSTEM, TOOLS
from curate.storage.formats.shapes.roles import role_of_turn
from curate.storage.formats.shapes.texts import (
    Conversation,
    Values,
    conversation,
    json_text,
    optional_text,
    parse_nested,
    text,
    tools_text,
)
from curate.storage.formats.shapes.tool_calls import calls_text
from curate.storage.formats.shapes.turn_fields import (
    READ,
    check_content,
    is_supervised,
    thoughts_of,
    with_thoughts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_THOUGHT_PARTS = ("thinking", "reasoning", "thought")


class TurnReader:
    """Reads the lists of turns of rows, and remembers which fields of the last row were ignored.

    Parameters
    ----------
    roles : mapping of str to str
        Further names of roles, from `curate.storage.formats.shapes.roles.roles_of_map`.
    """

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self.ignored: set[str] = set()
        """Fields of turns that were not read, as ``messages[].name``; cleared by the caller for each row."""

    def turns(self, value: object, column: str) -> list[Turn]:
        """Return the turns of a list such as ``[{"from": "human", "value": "…"}, …]``, or of its JSON text.

        Raises
        ------
        RowProblem
            If it is not such a list, or a turn has an unknown role, a content that is not text, or none before the
            last answer.
        """
        items = parse_nested(value, column)
        if is_missing(items):
            return []
        if not isinstance(items, list):
            raise RowProblem(column, "not a list of turns")
        turns: list[Turn] = []
        without: int | None = None
        for number, item in enumerate(items, start=1):
            parsed = list(self._turns(item, number, column))
            if without and any(turn.role == "assistant" and turn.content for turn in parsed):
                raise RowProblem(column, f"turn {without} has no content")
            if without is None and all(turn.role in ("user", "assistant") and not turn.content for turn in parsed):
                # The empty text is a turn without words, which is left out; null is a turn whose words are missing.
                without = number if is_missing(_content_of(item)) else None
            turns += parsed
        return turns

    def conversation(self, values: Values, column: str) -> Conversation:
        """Return the conversation of a row from the list of turns in `column` and its ``system`` and ``tools``."""
        turns = self.turns(values.get(column), column)
        system = optional_text(values, SYSTEM)
        if system and not (turns and turns[0].role == "system" and turns[0].content):
            turns.insert(0, Turn("system", system))
        return conversation(turns, tools_text(values, TOOLS), column, column)

    def _turns(self, item: object, number: int, column: str) -> Iterator[Turn]:
        """Yield the turn of one item, or two if an assistant message has both text and a tool call."""
        if not isinstance(item, dict):
            raise RowProblem(column, f"turn {number} is not an object with a role and a content")
        role, is_call = role_of_turn(
            item.get("role") if is_missing(item.get("from")) else item.get("from"), number, column, self._roles
        )
        calls = (item.get("tool_calls") or item.get("function_call")) if role == "assistant" else None
        if not calls and role != "tool":
            check_content(item, _content_of(item), number, column)
        content, thoughts = _parts(_content_of(item), number, column, nested=is_call or role == "tool")
        supervised = True
        if role == "assistant":
            supervised = is_supervised(item, number, column)
            given = (*thoughts_of(item, number, column), *thoughts)
            content = with_thoughts([text(one, column) for one in given], content)
        self._note(item, role, column)
        yield Turn(role, content, is_call, supervised)
        if calls:
            yield Turn("assistant", text(calls_text(calls, column), column), True, supervised)

    def _note(self, item: Mapping[str, Any], role: Role, column: str) -> None:
        """Remember the fields that are not read of a turn."""
        read = READ if role == "assistant" else ("role", "from", "content", "value")
        for name, value in item.items():
            if name not in read and not is_missing(value):
                self.ignored.add(f"{column}[].{printable(str(name), 60)}")


def _content_of(item: dict[str, object]) -> object:
    return item.get("content") if is_missing(item.get("value")) else item.get("value")


def _parts(value: object, number: int, column: str, *, nested: bool) -> tuple[str, list[object]]:
    """Return a turn's text, and its thoughts if it is a list of parts.

    With `nested`, objects and lists (tool calls and results) are written as JSON.
    """
    if isinstance(value, list) and value and all(isinstance(part, dict) and "type" in part for part in value):
        thoughts = [_part(part, number, column) for part in value if part["type"] in _THOUGHT_PARTS]
        texts = [_part(part, number, column) for part in value if part["type"] not in _THOUGHT_PARTS]
        return text("".join(texts), column), list(thoughts)
    if nested and isinstance(value, (dict, list)):
        return text(json_text(value, column), column), []
    try:
        return text(value, column), []
    except RowProblem as problem:
        raise RowProblem(column, f"turn {number}: {problem.reason}") from problem


def _part(part: dict[str, object], number: int, column: str) -> str:
    """Return the text of one part of a content that is a list of parts."""
    kind = part["type"]
    content = part.get("text") if is_missing(part.get(str(kind))) else part.get(str(kind))
    if kind in _THOUGHT_PARTS and isinstance(content, list):
        # Mistral nests the texts of a thought once more.
        return "".join(_part(one, number, column) for one in content if isinstance(one, dict) and "type" in one)
    if kind not in ("text", *_THOUGHT_PARTS) or not isinstance(content, str):
        kind = printable(str(kind), 40)
        raise RowProblem(column, f"turn {number} has a part of type {kind!r}; only text can be used")
    return content
