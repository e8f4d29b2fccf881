"""Converts kept rows to records of each export shape; raises `UnsupportedRow` where a shape cannot represent a row."""

from __future__ import annotations

import json
from typing import Any

from curate.schemas.corpus import Turn
from curate.storage.exports.calls import calls_of, listed_tools, tool_calls
from curate.storage.exports.rows import KeptRow, UnsupportedRow

Record = dict[str, Any]

_SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
_SEPARATORS = {"user": "\n\n", "assistant": "\n\n", "tool": "\n"}


def sharegpt(row: KeptRow) -> Record:
    """Return ``conversations`` of from/value turns, tool roles included; represents every row without loss."""
    conversations = [{"from": _speaker(turn), "value": turn.content, **_weight(turn)} for turn in row.turns]
    return {"id": row.example_id, "conversations": conversations, "tools": row.tools or ""}


def alternating_sharegpt(row: KeptRow) -> Record:
    """Return ``conversations`` that alternate between user or tool and model, with a separate system prompt.

    Consecutive turns of one role are joined: user and assistant text by a blank line, tool results by a line break,
    calls into a list. The consumer parses calls, so a call that is not JSON of name and arguments is unsupported.
    """
    check_supervised(row)
    system, turns = _without_system(row)
    joined = [_with_arguments(turn) if turn.tool_call else turn for turn in _joined(turns)]
    for position, turn in enumerate(joined):
        if (turn.role == "assistant") != (position % 2 == 1):
            raise UnsupportedRow("its turns do not alternate between the user or a tool and the model")
    conversations = [{"from": _speaker(turn), "value": turn.content} for turn in joined]
    return {"id": row.example_id, "conversations": conversations, "system": system, "tools": row.tools or ""}


def alpaca(row: KeptRow) -> Record:
    """Return ``instruction``, ``input``, ``output``, ``system`` and ``history`` (the earlier exchanges)."""
    if row.tools or any(turn.tool_call or turn.role == "tool" for turn in row.turns):
        raise UnsupportedRow("alpaca cannot represent tools")
    check_supervised(row)
    system, turns = _without_system(row)
    joined = _joined(turns)
    if [turn.role for turn in joined] != ["user", "assistant"] * (len(joined) // 2):
        raise UnsupportedRow("its turns do not alternate between the user and the model")
    pairs = [[question.content, answer.content] for question, answer in zip(joined[::2], joined[1::2], strict=True)]
    instruction, output = pairs.pop()
    return {"instruction": instruction, "input": "", "output": output, "system": system, "history": pairs}


def messages(row: KeptRow, arguments_as_text: bool = False) -> Record:
    """Return ``messages`` of role/content turns with ``tool_calls``, and ``tools`` if there are any.

    An assistant's text before a tool call, and the call, become one message. Turns that are context only have
    ``"weight": 0``.
    """
    record: Record = {"messages": chat_messages(row.turns, arguments_as_text)}
    if row.tools:
        record["tools"] = listed_tools(row.tools)
    return record


def chat_messages(turns: tuple[Turn, ...], arguments_as_text: bool) -> list[Record]:
    """Return the messages of a conversation as chat templates expect them."""
    records: list[Record] = []
    previous: Turn | None = None
    for turn in turns:
        if not turn.tool_call:
            records.append({"role": turn.role, "content": turn.content, **_weight(turn)})
        else:
            if previous is None or previous.role != "assistant" or previous.tool_call:
                records.append({"role": "assistant", "content": "", **_weight(turn)})
            records[-1]["tool_calls"] = tool_calls(calls_of(turn.content), arguments_as_text)
        previous = turn
    return records


def supervised_messages(row: KeptRow, arguments_as_text: bool = False) -> Record:
    """Return `messages` for a trainer that learns every assistant turn."""
    check_supervised(row)
    return messages(row, arguments_as_text)


def check_supervised(row: KeptRow) -> None:
    """Raise UnsupportedRow if an assistant turn is context only: most formats cannot say so, and would train on it."""
    if not all(turn.supervised for turn in row.turns):
        raise UnsupportedRow("an assistant turn is context only, and would be trained on")


def _with_arguments(turn: Turn) -> Turn:
    """Return a call with its arguments, empty ones if it has none; UnsupportedRow if it is not JSON of a call."""
    calls = calls_of(turn.content)
    if calls in (given := json.loads(turn.content), [given]):
        return turn
    return Turn(turn.role, json.dumps(calls if isinstance(given, list) else calls[0], ensure_ascii=False), True)


def _weight(turn: Turn) -> Record:
    return {} if turn.supervised else {"weight": 0}


def plain_text(row: KeptRow) -> str:
    """Return all contents joined by blank lines, without a chat template; for the calibration of quantisers."""
    return "\n\n".join(turn.content for turn in row.turns if turn.content)


def _speaker(turn: Turn) -> str:
    return "function_call" if turn.tool_call else _SPEAKERS[turn.role]


def _without_system(row: KeptRow) -> tuple[str, tuple[Turn, ...]]:
    first, turns = row.turns[0], row.turns
    system = ""
    if first.role == "system":
        system, turns = first.content, row.turns[1:]
    if any(turn.role == "system" for turn in turns):
        raise UnsupportedRow("a system turn is not the first turn")
    return system, turns


def _joined(turns: tuple[Turn, ...]) -> list[Turn]:
    """Return the turns with consecutive ones of one role and kind joined."""
    joined: list[Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if last is None or (last.role, last.tool_call) != (turn.role, turn.tool_call):
            joined.append(turn)
        elif turn.tool_call:
            both = [*calls_of(last.content), *calls_of(turn.content)]
            joined[-1] = Turn(turn.role, json.dumps(both, ensure_ascii=False), True)
        else:
            joined[-1] = Turn(turn.role, last.content + _SEPARATORS[turn.role] + turn.content)
    return joined
