"""The conversation of each row shape, detection of a file's shape, and renaming of columns by --map."""

import json
from pathlib import Path
from typing import Any

import pytest
from references.conversations import examples, problems, write_jsonl

from curate.schemas.corpus import Example, Quarantined
from curate.schemas.errors import InputError, UsageError
from curate.storage.formats import SHAPES, read_source


def read(tmp_path: Path, *rows: dict[str, Any], **options: Any) -> list[Example | Quarantined]:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, rows)
    return list(read_source(path, **options))


def turns(tmp_path: Path, row: dict[str, Any], **options: Any) -> list[tuple[str, str]]:
    (result,) = examples(read(tmp_path, row, **options))
    return [(turn.role, turn.content) for turn in result.turns]


GOOD: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "a", "output": "b"},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "messages": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "prompt-completion": {"prompt": "a", "completion": "b"},
    "question-answer": {"question": "a", "answer": "b"},
    "multiple-choice": {"question": "a", "A": "1", "B": "2", "answer": "B"},
}


def test_every_shape_has_an_example_here() -> None:
    assert set(GOOD) == {shape.name for shape in SHAPES}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": " a\n", "input": "", "output": "b "}, [("user", "a"), ("assistant", "b")]),
        ({"instruction": "a", "input": "x", "output": "b"}, [("user", "a\n\nx"), ("assistant", "b")]),
        ({"instruction": "", "input": "x", "output": "b"}, [("user", "x"), ("assistant", "b")]),
        ({"instruction": "a", "input": None, "output": "b", "text": "ignored"}, [("user", "a"), ("assistant", "b")]),
        ({"instruction": "a", "output": "b", "answer": "c"}, [("user", "a"), ("assistant", "b")]),
        ({"instruction": "a", "context": "x", "response": "b"}, [("user", "a\n\nx"), ("assistant", "b")]),
        ({"system": "s", "instruction": "a", "output": "b"}, [("system", "s"), ("user", "a"), ("assistant", "b")]),
        (
            {"instruction": "c", "output": "d", "history": [["a", "b"]]},
            [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
        ),
        ({"Instruction": "a", " OUTPUT ": "b"}, [("user", "a"), ("assistant", "b")]),
        ({"prompt": "a", "response": "b", "prompt_id": 7}, [("user", "a"), ("assistant", "b")]),
        ({"prompt": "a", "context": "x", "response": "b"}, [("user", "a\n\nx"), ("assistant", "b")]),
        ({"input": "a", "output": "b"}, [("user", "a"), ("assistant", "b")]),
        ({"inputs": "a", "targets": "b"}, [("user", "a"), ("assistant", "b")]),
        (
            {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]},
            [("user", "a"), ("assistant", "b")],
        ),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": "b"}, [("user", "a"), ("assistant", "b")]),
        ({"question": "a", "answer": "b"}, [("user", "a"), ("assistant", "b")]),
        ({"question": "a", "passage": "p", "answer": "b"}, [("user", "p\n\na"), ("assistant", "b")]),
        ({"question": "q", "A": "1", "B": "2", "answer": "B"}, [("user", "q\n\nA. 1\nB. 2"), ("assistant", "B")]),
        ({"question": "q", "choices": ["1", "2"], "answer": 1}, [("user", "q\n\nA. 1\nB. 2"), ("assistant", "B")]),
        (
            {"question_stem": "q", "choices": {"text": ["1", "2"], "label": ["1)", "2)"]}, "answerKey": "2)"},
            [("user", "q\n\n1). 1\n2). 2"), ("assistant", "2)")],
        ),
        (
            {"question": "q", "options": {"A": "1", "B": "2"}, "answer": "B"},
            [("user", "q\n\nA. 1\nB. 2"), ("assistant", "B")],
        ),
        (
            {"messages": GOOD["messages"]["messages"], "prompt": "no", "completion": "no"},
            [("user", "a"), ("assistant", "b")],
        ),
        ({"conversations": json.dumps(GOOD["sharegpt"]["conversations"])}, [("user", "a"), ("assistant", "b")]),
        ({"conversations": GOOD["messages"]["messages"]}, [("user", "a"), ("assistant", "b")]),
        ({"messages": GOOD["sharegpt"]["conversations"]}, [("user", "a"), ("assistant", "b")]),
    ],
)
def test_a_row_becomes_the_conversation_it_states(
    row: dict[str, Any], expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    assert turns(tmp_path, row) == expected


def listed(*pairs: tuple[str, Any]) -> dict[str, Any]:
    return {"conversations": [{"from": role, "value": content} for role, content in pairs]}


def test_every_role_of_sharegpt_has_its_place(tmp_path: Path) -> None:
    row = listed(
        ("system", "s"), ("Human", "a"), ("gpt", "b"), ("user", "c"), ("function_call", '{"name": "f"}'),
        ("observation", '{"x": 1}'), ("chatgpt", "d"), ("human", "e"), ("tool_call", "{}"), ("tool", "f"),
        ("assistant", "g"),
    )  # fmt: skip
    (result,) = examples(read(tmp_path, row | {"tools": '[{"name": "f"}]'}))
    assert [turn.role for turn in result.turns] == [
        "system", "user", "assistant", "user", "assistant", "tool", "assistant", "user", "assistant", "tool",
        "assistant",
    ]  # fmt: skip
    assert [i for i, turn in enumerate(result.turns) if turn.tool_call] == [4, 8]
    assert result.tools == '[{"name": "f"}]'


def test_empty_turns_and_turns_after_the_last_response_are_left_out(tmp_path: Path) -> None:
    row = listed(("system", " "), ("human", "a"), ("gpt", ""), ("gpt", "b"), ("human", "c"), ("gpt", "\n"))
    assert turns(tmp_path, row) == [("user", "a"), ("assistant", "b")]


def test_an_empty_result_of_a_tool_and_a_first_turn_by_the_assistant_are_kept(tmp_path: Path) -> None:
    row = listed(("gpt", "hello"), ("human", "a"), ("function_call", "{}"), ("observation", ""), ("gpt", "b"))
    assert [role for role, _ in turns(tmp_path, row)] == ["assistant", "user", "assistant", "tool", "assistant"]


def test_a_system_column_stands_back_behind_a_system_turn(tmp_path: Path) -> None:
    own = listed(("system", "own"), ("human", "a"), ("gpt", "b")) | {"system": "column"}
    assert turns(tmp_path, own)[0] == ("system", "own")
    assert turns(tmp_path, listed(("human", "a"), ("gpt", "b")) | {"system": "column"})[0] == ("system", "column")


def test_tool_calls_of_a_chat_api_become_turns_of_json_text(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    other = {"id": "2", "type": "function", "function": {"name": "g", "arguments": {}}}
    row = {
        "messages": [
            {"role": "developer", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "let me see", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "7"},
            {"role": "assistant", "content": None, "tool_calls": [call, other]},
            {"role": "function", "name": "f", "content": "8"},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "not json"}},
        ],
        "tools": [{"name": "f", "parameters": {"x": None}}],
    }
    (result,) = examples(read(tmp_path, row))
    assert [(turn.role, turn.content, turn.tool_call) for turn in result.turns] == [
        ("system", "s", False),
        ("user", "ab", False),
        ("assistant", "let me see", False),
        ("assistant", '{"name": "f", "arguments": {"x": 1}}', True),
        ("tool", "7", False),
        ("assistant", '[{"name": "f", "arguments": {"x": 1}}, {"name": "g", "arguments": {}}]', True),
        ("tool", "8", False),
        ("assistant", '{"name": "f", "arguments": "not json"}', True),
    ]
    assert result.tools == '[{"name": "f", "parameters": {}}]'


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ({"instruction": "a", "output": ""}, "output", "no response"),
        ({"instruction": "a", "output": None}, "output", "no response"),
        ({"instruction": "a"}, "output", "no response: the row has no column 'output'"),
        ({"instruction": " ", "output": "b"}, "instruction", "no prompt"),
        ({"instruction": "a", "output": "", "history": [["x", "y"]]}, "output", "no response"),
        ({"instruction": 3, "output": "b"}, "instruction", "a number where text is expected"),
        ({"instruction": "a", "output": ["b"]}, "output", "a list where text is expected"),
        ({"instruction": "a", "output": {"b": 1}}, "output", "an object where text is expected"),
        ({"instruction": "a", "output": True}, "output", "true or false where text is expected"),
        ({"instruction": "a", "output": "b\0c"}, "output", "NUL byte at character 2"),
        ({"instruction": "a", "output": "b", "history": [["a"]]}, "history", "not a list of [question, answer] pairs"),
        ({"conversations": None}, "conversations", "no response"),
        ({"conversations": []}, "conversations", "no response"),
        ({"conversations": "text"}, "conversations", "text that is not a JSON list of turns"),
        ({"conversations": {"from": "human"}}, "conversations", "not a list of turns"),
        ({"conversations": ["a"]}, "conversations", "turn 1 is not an object with a role and a content"),
        (listed(("gpt", "b")), "conversations", "no prompt"),
        (listed(("human", "a")), "conversations", "no response"),
        (listed(("human", "a"), ("gpt", 3)), "conversations", "turn 2: a number where text is expected"),
        (listed(("human", "a"), ("narrator", "b")), "conversations", "turn 2 has the unknown role 'narrator'; known"),
        (listed((3, "a")), "conversations", "turn 1 has the unknown role '3'"),  # type: ignore[arg-type]
        (listed(("", "a")), "conversations", "turn 1 has no role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages",
            "turn 1 has a part of type 'image_url'; only text can be used",
        ),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": []}, "completion", "no response"),
        ({"question": "", "A": "1", "B": "2", "answer": "B"}, "question", "no prompt"),
        ({"question": "q", "choices": ["1", "2"], "answer": 3}, "answer", "3 is not an option"),
        ({"question": "q", "choices": ["1"], "answer": 0}, "choices", "not a list of options"),
    ],
)  # fmt: skip
def test_a_row_that_is_no_conversation_is_quarantined_with_its_column(
    row: dict[str, Any], column: str, message: str, tmp_path: Path
) -> None:
    by_list = {"question": "q", "choices": ["1", "2"], "answer": 1}
    good = by_list if "choices" in row else next(good for good in reversed(GOOD.values()) if set(row) & set(good))
    first, problem = read(tmp_path, good, row)
    assert isinstance(first, Example)
    assert isinstance(problem, Quarantined)
    assert (problem.source, problem.row, problem.column) == ("rows.jsonl", 2, column)
    assert problem.reason.startswith(message)


def test_the_shape_is_that_of_most_of_the_first_rows(tmp_path: Path) -> None:
    result = read(tmp_path, {"foo": 1}, GOOD["messages"], GOOD["alpaca"], GOOD["alpaca"])
    assert [type(row).__name__ for row in result] == ["Quarantined", "Quarantined", "Example", "Example"]


def test_columns_that_are_null_throughout_do_not_count(tmp_path: Path) -> None:
    result = read(tmp_path, {"messages": None, "conversations": None} | GOOD["alpaca"])
    assert len(examples(result)) == 1


def test_a_stated_format_overrules_the_columns(tmp_path: Path) -> None:
    row = GOOD["messages"] | GOOD["alpaca"] | {"instruction": "stated"}
    assert turns(tmp_path, row)[0] == ("user", "a")
    assert turns(tmp_path, row, format="alpaca")[0] == ("user", "stated")
    assert turns(tmp_path, GOOD["prompt-completion"], format="Prompt_Completion")[0] == ("user", "a")


@pytest.mark.parametrize(
    ("row", "mapping", "expected"),
    [
        ({"question": "q", "answer": "x"}, {"response": "answer"}, ["q", "x"]),
        ({"instruction": "q", "output": "no", "answer": "x"}, {"response": "answer"}, ["q", "x"]),
        ({"instruction": "q", "output": "no", "answer": "x"}, {"output": "answer"}, ["q", "x"]),
        ({"title": "q", "body": "x"}, {"prompt": "title", "response": "body"}, ["q", "x"]),
        ({"title": "q", "body": "x"}, {"question": "title", "answer": "body"}, ["q", "x"]),
        ({"Title": "q", "more": "m", "output": "x"}, {"prompt": "Title", "input": "more"}, ["q\n\nm", "x"]),
        ({"role": "s", "question": "q", "answer": "x"}, {"system": "role"}, ["s", "q", "x"]),
        ({"dialog": GOOD["messages"]["messages"]}, {"messages": "dialog"}, ["a", "b"]),
        (GOOD["messages"] | {"q": "q", "x": "x"}, {"prompt": "q", "response": "x"}, ["q", "x"]),
    ],
)
def test_map_says_which_column_is_which(
    row: dict[str, Any], mapping: dict[str, str], expected: list[str], tmp_path: Path
) -> None:
    assert [content for _, content in turns(tmp_path, row, column_map=mapping)] == expected


def test_a_quarantined_row_names_the_files_own_column(tmp_path: Path) -> None:
    result = read(tmp_path, {"T": "q", "B": "x"}, {"T": "q", "B": ""}, column_map={"prompt": "T", "response": "B"})
    assert [problem.column for problem in problems(result)] == ["B"]


def test_licences_come_from_the_row_or_else_from_the_source(tmp_path: Path) -> None:
    rows = [GOOD["alpaca"] | {"license": value} for value in ("MIT", None, ["MIT", "Apache-2.0"])]
    result = examples(read(tmp_path, *rows, licence="CC0"))
    assert [row.licence for row in result] == ["MIT", "CC0", "MIT, Apache-2.0"]
    assert [row.licence for row in examples(read(tmp_path, GOOD["alpaca"]))] == [None]
    mapped = read(tmp_path, GOOD["alpaca"] | {"terms": "MIT"}, column_map={"licence": "terms"})
    assert [row.licence for row in examples(mapped)] == ["MIT"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "alpacca"}, "unknown format 'alpacca', did you mean 'alpaca'?"),
        ({"column_map": {"respons": "answer"}}, "did you mean 'response'?"),
        ({"column_map": {"prompt": "a", "question": "b"}}, "names the prompt a second time"),
        ({"column_map": {"prompt": "a", "response": "a"}}, "uses the column 'a' a second time"),
    ],
)
def test_unknown_formats_and_parts_are_usage_errors_at_once(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [GOOD["alpaca"]])
    with pytest.raises(UsageError) as error:
        read_source(path, **options)
    assert message in str(error.value)


def test_columns_of_no_shape_are_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, {"title": "q", "body": "x"})
    assert "rows.jsonl, row 1: the columns are title, body; known are sharegpt (conversations)" in str(error.value)
    assert "--map prompt=title --map response=body" in str(error.value)
    with pytest.raises(InputError, match=r"the columns are instruction, output; which is not messages \(messages\)"):
        read(tmp_path, GOOD["alpaca"], format="messages")
    with pytest.raises(InputError, match=r"no column 'body', which --map response=body names; it has the columns inst"):
        read(tmp_path, GOOD["alpaca"], column_map={"response": "body"})
