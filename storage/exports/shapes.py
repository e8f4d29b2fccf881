"""A kept row as one record of each shape, purely. A row that a shape cannot hold is `Unfit`, never bent."""

from __future__ import annotations

import json
from typing import Any

from curate.schemas.corpus import Turn
from curate.storage.exports.calls import calls_of, listed_tools, tool_calls
from curate.storage.exports.rows import KeptRow, UnsupportedRow

Record = dict[str, Any]

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
_JOINTS = {"user": "\n\n", "assistant": "\n\n", "tool": "\n"}


def sharegpt(row: KeptRow) -> Record:
    """Return ``conversations`` of from/value turns, tool roles included; holds every row without loss."""
    said = [{"from": _speaker(turn), "value": turn.content} for turn in row.turns]
    return {"id": row.example_id, "conversations": said, "tools": row.tools or ""}


def alternating_sharegpt(row: KeptRow) -> Record:
    """Return ``conversations`` in which the user's side and the model's take turns, the system prompt apart.

    Neighbours of one side are joined: users and answers by a blank line, results of tools by a line break, calls as a
    list of calls. The consumer parses calls, so what is no JSON of name and arguments does not fit.
    """
    system, turns = _without_system(row)
    joined = _joined(turns)
    for turn in joined:
        if turn.tool_call:
            calls_of(turn.content)
    for place, turn in enumerate(joined):
        if (turn.role == "assistant") != (place % 2 == 1):
            raise UnsupportedRow("its turns do not alternate between the user or a tool and the model")
    said = [{"from": _speaker(turn), "value": turn.content} for turn in joined]
    return {"id": row.example_id, "conversations": said, "system": system, "tools": row.tools or ""}


def alpaca(row: KeptRow) -> Record:
    """Return ``instruction``, ``input``, ``output``, with the system prompt and the earlier exchanges beside them."""
    if row.tools or any(turn.tool_call or turn.role == "tool" for turn in row.turns):
        raise UnsupportedRow("alpaca has no place for tools")
    system, turns = _without_system(row)
    joined = _joined(turns)
    if [turn.role for turn in joined] != ["user", "assistant"] * (len(joined) // 2):
        raise UnsupportedRow("its turns do not alternate between the user and the model")
    pairs = [[asked.content, answer.content] for asked, answer in zip(joined[::2], joined[1::2], strict=True)]
    instruction, output = pairs.pop()
    return {"instruction": instruction, "input": "", "output": output, "system": system, "history": pairs}


def messages(row: KeptRow, arguments_as_text: bool = False) -> Record:
    """Return ``messages`` of role/content turns with ``tool_calls``, and ``tools`` where there are any.

    What an assistant says before it calls a tool, and the call, are one message.
    """
    record: Record = {"messages": chat_messages(row.turns, arguments_as_text)}
    if row.tools:
        record["tools"] = listed_tools(row.tools)
    return record


def chat_messages(turns: tuple[Turn, ...], arguments_as_text: bool) -> list[Record]:
    """Return the messages of a conversation as chat templates take them."""
    said: list[Record] = []
    before: Turn | None = None
    for turn in turns:
        if not turn.tool_call:
            said.append({"role": turn.role, "content": turn.content})
        else:
            if before is None or before.role != "assistant" or before.tool_call:
                said.append({"role": "assistant", "content": ""})
            said[-1]["tool_calls"] = tool_calls(calls_of(turn.content), arguments_as_text)
        before = turn
    return said


def plain_text(row: KeptRow) -> str:
    """Return all contents, joined by blank lines: text of the right domain, without any template."""
    return "\n\n".join(turn.content for turn in row.turns if turn.content)


def _speaker(turn: Turn) -> str:
    return "function_call" if turn.tool_call else _SPEAKERS[turn.role]


def _without_system(row: KeptRow) -> tuple[str, tuple[Turn, ...]]:
    first, rest = row.turns[0], row.turns
    system = ""
    if first.role == "system":
        system, rest = first.content, row.turns[1:]
    if any(turn.role == "system" for turn in rest):
        raise UnsupportedRow("it has a system turn that is not the first turn")
    return system, rest


def _joined(turns: tuple[Turn, ...]) -> list[Turn]:
    """Return the turns with neighbours of one role and kind joined."""
    joined: list[Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if last is None or (last.role, last.tool_call) != (turn.role, turn.tool_call):
            joined.append(turn)
        elif turn.tool_call:
            both = [*calls_of(last.content), *calls_of(turn.content)]
            joined[-1] = Turn(turn.role, json.dumps(both, ensure_ascii=False), True)
        else:
            joined[-1] = Turn(turn.role, last.content + _JOINTS[turn.role] + turn.content)
    return joined
