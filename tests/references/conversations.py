"""Random conversations, and simple writers for every shape and container that the readers support."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from hypothesis import strategies as st

from curate.schemas.corpus import Example, Quarantined, Turn

Row = dict[str, Any]

# What a corpus may hold: any text that is valid UTF-8 and has no NUL, with no white space around it.
_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
contents = st.text(_CHARACTERS, min_size=1, max_size=30).map(str.strip).filter(bool)
_json_values = st.recursive(st.integers(-9, 9) | contents, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
_calls = st.builds(
    lambda name, arguments: json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False),
    contents,
    st.dictionaries(contents, _json_values, max_size=2),
)
_user = st.builds(Turn, st.just("user"), contents)
_system = st.builds(Turn, st.just("system"), contents)
_assistant = st.builds(Turn, st.just("assistant"), contents)
_call = st.builds(Turn, st.just("assistant"), _calls, st.just(True))
_result = st.builds(Turn, st.just("tool"), contents)


@st.composite
def single_turns(draw: st.DrawFn) -> tuple[Turn, ...]:
    """One question and its answer, perhaps after a system turn."""
    return (*draw(st.lists(_system, max_size=1)), draw(_user), draw(_assistant))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Several turns, tool calls and results among them, the last one by the assistant."""
    turns = [*draw(st.lists(_system, max_size=1)), draw(_user)]
    turns += draw(st.lists(st.one_of(_user, _assistant, _call, _result), max_size=5))
    return (*turns, draw(_assistant | _call))


tools_texts = st.none() | contents.map(lambda name: json.dumps([{"name": name}], ensure_ascii=False))


def as_alpaca(turns: Sequence[Turn]) -> Row:
    return {"instruction": turns[-2].content, "output": turns[-1].content, "system": _system_of(turns)}


def as_prompt_completion(turns: Sequence[Turn]) -> Row:
    return {"prompt": turns[-2].content, "completion": turns[-1].content, "system": _system_of(turns)}


def as_question_answer(turns: Sequence[Turn]) -> Row:
    return {"question": turns[-2].content, "answer": turns[-1].content, "system": _system_of(turns)}


def as_sharegpt(turns: Sequence[Turn], tools: str | None) -> Row:
    names = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
    listed = [
        {"from": "function_call" if turn.tool_call else names[turn.role], "value": turn.content} for turn in turns
    ]
    if turns[0].role == "system":
        return {"conversations": listed[1:], "system": turns[0].content, "tools": tools}
    return {"conversations": listed, "tools": tools}


def as_messages(turns: Sequence[Turn], tools: str | None) -> Row:
    return {"messages": [_message(turn) for turn in turns], "tools": tools}


def as_conversational_prompt(turns: Sequence[Turn], tools: str | None) -> Row:
    listed = [_message(turn) for turn in turns]
    return {"prompt": listed[:-1], "completion": listed[-1:], "tools": tools}


SINGLE: dict[str, Callable[[Sequence[Turn]], Row]] = {
    "alpaca": as_alpaca,
    "prompt-completion": as_prompt_completion,
    "question-answer": as_question_answer,
}
MULTI: dict[str, Callable[[Sequence[Turn], str | None], Row]] = {
    "sharegpt": as_sharegpt,
    "messages": as_messages,
    "prompt-completion": as_conversational_prompt,
}


def _message(turn: Turn) -> Row:
    if not turn.tool_call:
        return {"role": turn.role, "content": turn.content}
    call = json.loads(turn.content)
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    function = {"name": call["name"], "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": function}]}


def _system_of(turns: Sequence[Turn]) -> str:
    return turns[0].content if turns[0].role == "system" else ""


def write_json(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8", newline="")


def write_wrapped(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(json.dumps({"version": 1, "data": rows}), encoding="utf-8", newline="")


def write_jsonl(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json_lines(rows))


def write_jsonl_gz(path: Path, rows: Sequence[Row]) -> None:
    path.write_bytes(gzip.compress(json_lines(rows)))


def write_jsonl_zst(path: Path, rows: Sequence[Row]) -> None:
    path.write_bytes(zstandard.compress(json_lines(rows)))


def write_csv(path: Path, rows: Sequence[Row], delimiter: str = ",") -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(columns)
    for row in rows:
        cells = [row.get(name) for name in columns]
        writer.writerow([json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell for cell in cells])
    path.write_bytes(text.getvalue().encode())


def write_tsv(path: Path, rows: Sequence[Row]) -> None:
    write_csv(path, rows, "\t")


def _table(rows: Sequence[Row]) -> pa.Table:
    # from_pylist alone would take the first row's columns only.
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return pa.Table.from_pydict({name: [row.get(name) for row in rows] for name in columns})


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    pq.write_table(_table(rows), path)


def write_arrow(path: Path, rows: Sequence[Row]) -> None:
    table = _table(rows)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def write_arrow_stream(path: Path, rows: Sequence[Row]) -> None:
    table = _table(rows)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


def write_dataset(path: Path, rows: Sequence[Row]) -> None:
    from datasets import Dataset

    Dataset(_table(rows)).save_to_disk(str(path))


CONTAINERS: dict[str, Callable[[Path, Sequence[Row]], None]] = {
    "rows.json": write_json,
    "wrapped.json": write_wrapped,
    "rows.jsonl": write_jsonl,
    "lines.json": write_jsonl,
    "rows.jsonl.gz": write_jsonl_gz,
    "rows.jsonl.zst": write_jsonl_zst,
    "misnamed.jsonl": write_jsonl_gz,
    "rows.csv": write_csv,
    "rows.tsv": write_tsv,
    "rows.parquet": write_parquet,
    "rows.arrow": write_arrow,
    "rows.feather": write_arrow,
    "stream.arrow": write_arrow_stream,
    "dataset": write_dataset,
}


def json_lines(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def examples(rows: Sequence[Example | Quarantined]) -> list[Example]:
    """Return the usable rows that a reader yielded."""
    return [row for row in rows if isinstance(row, Example)]


def problems(rows: Sequence[Example | Quarantined]) -> list[Quarantined]:
    """Return the unusable rows that a reader yielded."""
    return [row for row in rows if isinstance(row, Quarantined)]
