"""Any conversation comes back with the same id from every shape and every container that can hold it."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.conversations import (
    CONTAINERS,
    MULTI,
    SINGLE,
    conversations,
    examples,
    problems,
    single_turns,
    tools_texts,
    write_jsonl,
)

from curate.schemas.corpus import Turn, example_id
from curate.storage.formats import read_source

Turns = tuple[Turn, ...]


@pytest.mark.parametrize("shape", SINGLE)
@settings(max_examples=60, deadline=None)
@given(corpus=st.lists(single_turns(), min_size=1, max_size=4))
def test_an_exchange_comes_back_from_each_shape(shape: str, corpus: list[Turns]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_jsonl(path, [SINGLE[shape](turns) for turns in corpus])
        result = examples(list(read_source(path)))
    assert [example.turns for example in result] == corpus
    assert [example.id for example in result] == [example_id(turns) for turns in corpus]


@pytest.mark.parametrize("shape", MULTI)
@settings(max_examples=100, deadline=None)
@given(corpus=st.lists(st.tuples(conversations(), tools_texts), min_size=1, max_size=4))
def test_a_conversation_comes_back_from_each_shape(shape: str, corpus: list[tuple[Turns, str | None]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_jsonl(path, [MULTI[shape](turns, tools) for turns, tools in corpus])
        result = examples(list(read_source(path)))
    assert [(example.turns, example.tools) for example in result] == corpus


@pytest.mark.parametrize("container", [name for name in CONTAINERS if name != "dataset"])
@settings(max_examples=25, deadline=None)
@given(corpus=st.lists(st.tuples(conversations(), tools_texts), min_size=1, max_size=4))
def test_ids_do_not_depend_on_the_container(container: str, corpus: list[tuple[Turns, str | None]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / container
        CONTAINERS[container](path, [MULTI["sharegpt"](turns, tools) for turns, tools in corpus])
        result = list(read_source(path))
    assert problems(result) == []
    assert [row.id for row in examples(result)] == [example_id(turns, tools) for turns, tools in corpus]


@pytest.mark.parametrize("container", CONTAINERS)
def test_rows_of_each_container_are_numbered_from_one(container: str, tmp_path: Path) -> None:
    path = tmp_path / container
    rows = [{"instruction": f"say {n}", "input": "", "output": str(n)} for n in range(2500)]
    CONTAINERS[container](path, rows)
    result = examples(list(read_source(path)))
    assert [row.row for row in result] == list(range(1, 2501))
    assert [row.turns for row in result] == [(Turn("user", f"say {n}"), Turn("assistant", str(n))) for n in range(2500)]
    assert {row.source for row in result} == {container}


@settings(max_examples=60, deadline=None)
@given(turns=conversations(), tools=tools_texts, space=st.sampled_from(["", " ", "\n", "\t\u3000", "\r\n"]))
def test_surrounding_white_space_does_not_change_an_id(turns: Turns, tools: str | None, space: str) -> None:
    row = MULTI["sharegpt"](turns, tools)
    for turn in row["conversations"]:
        turn["value"] = space + turn["value"] + space
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        write_jsonl(path, [row])
        (result,) = examples(list(read_source(path)))
    assert result.id == example_id(turns, tools)
