"""Every real file beside the checkout is read without a flag, with the rows that its own columns promise."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from references.conversations import examples, problems

from curate.schemas.errors import InputError
from curate.storage.formats import read_source
from curate.storage.inputs.corpus_tables import canonical_chunks

pytestmark = pytest.mark.realdata

CORPORA = [
    "alpaca52k",
    "arc-challenge_test",
    "arc-challenge_train",
    "arc-easy_test",
    "arc-easy_train",
    "boolq_test",
    "boolq_train",
    "codealpaca",
    "gsm8k_test",
    "gsm8k_train",
    "mmlu_val",
    "openbookqa_test",
    "openbookqa_train",
]


def test_the_list_of_corpora_is_complete(shared: Path) -> None:
    assert {path.stem for path in (shared / "corpora").glob("*.parquet")} == set(CORPORA)


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_is_read_without_a_flag(name: str, shared: Path) -> None:
    path = shared / "corpora" / f"{name}.parquet"
    table = pq.read_table(path)
    response = "output" if "output" in table.column_names else "answer"
    expected = [text.strip() for text in table[response].to_pylist()]
    result = list(read_source(path))
    assert len(result) == table.num_rows
    # Rows without a response are the only ones that cannot be used, and there are a few of them.
    assert [row.row for row in problems(result)] == [n for n, text in enumerate(expected, 1) if not text]
    assert {row.column for row in problems(result)} <= {response}
    assert [row.turns[-1].content for row in examples(result)] == [text for text in expected if text]


def test_a_map_chooses_the_bare_answer_of_a_choice_corpus(shared: Path) -> None:
    path = shared / "corpora" / "arc-easy_test.parquet"
    answers = pq.read_table(path)["answer"].to_pylist()
    result = examples(list(read_source(path, column_map={"response": "answer"})))
    assert [row.turns[-1].content for row in result] == answers


@pytest.mark.parametrize("name", ["alpaca.json", "sharegpt_toolcall.jsonl"])
def test_a_users_file_is_read_without_a_flag(name: str, shared: Path) -> None:
    result = list(read_source(shared / "formats" / name))
    assert problems(result) == []
    assert len(result) == 300


def test_tool_calls_and_tools_of_a_users_file_are_kept(shared: Path) -> None:
    result = examples(list(read_source(shared / "formats" / "sharegpt_toolcall.jsonl")))
    text = (shared / "formats" / "sharegpt_toolcall.jsonl").read_text()
    assert sum(turn.tool_call for row in result for turn in row.turns) == text.count('"from": "function_call"')
    assert sum(turn.role == "tool" for row in result for turn in row.turns) == text.count('"from": "observation"')
    assert any(row.tools for row in result)


def test_the_whole_folder_is_one_source(shared: Path) -> None:
    chunks = list(canonical_chunks(read_source(shared / "formats"), 100))
    sources = {name for chunk in chunks for name in chunk.sources["source"].to_pylist()}
    assert sources == {"formats/alpaca.json", "formats/sharegpt_toolcall.jsonl"}
    assert sum(chunk.sources.num_rows for chunk in chunks) == 600


def test_plain_text_is_no_instruction_corpus(shared: Path) -> None:
    with pytest.raises(
        InputError, match=r"wikitext2_valid\.txt is not a file of instruction rows; supported are json, jsonl"
    ):
        list(read_source(shared / "corpora" / "wikitext2_valid.txt"))
