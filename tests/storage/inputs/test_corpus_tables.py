"""The corpus tables against a dictionary-based reference: merging, order, cutting, schemas."""

from collections.abc import Sequence
from itertools import chain

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references.conversations import conversations, tools_texts

from curate.schemas.corpus import (
    EXAMPLES,
    QUARANTINE,
    SOURCES,
    Example,
    Quarantined,
    Turn,
    prompt_text,
    response_text,
    turns_of,
)
from curate.storage.inputs import corpus_tables
from curate.storage.inputs.corpus_tables import ROWS_READ_PER_EXAMPLE, CorpusChunk, canonical_chunks

Row = Example | Quarantined


def example(text: str, row: int = 1, source: str = "a.jsonl") -> Example:
    return Example((Turn("user", text), Turn("assistant", "b")), source, row)


def problem(row: int) -> Quarantined:
    return Quarantined("a.jsonl", row, None, "not valid JSON", "{")


def tables(chunks: Sequence[CorpusChunk]) -> tuple[pa.Table, pa.Table, pa.Table]:
    return (
        pa.Table.from_batches([chunk.examples for chunk in chunks], EXAMPLES),
        pa.Table.from_batches([chunk.sources for chunk in chunks], SOURCES),
        pa.Table.from_batches([chunk.quarantine for chunk in chunks], QUARANTINE),
    )


_examples = st.builds(
    Example,
    conversations(),
    st.sampled_from(["a.jsonl", "b.csv"]),
    st.integers(1, 2**40),
    tools_texts,
    st.none() | st.just("MIT"),
    st.none() | st.just("maths"),
)
_problems = st.builds(
    Quarantined, st.just("a.jsonl"), st.integers(1, 9), st.none() | st.just("output"), st.text(max_size=5), st.just("")
)


@settings(max_examples=80, deadline=None)
@given(distinct=st.lists(_examples | _problems, max_size=8), data=st.data(), rows_per_part=st.integers(1, 5))
def test_the_tables_are_those_of_the_obvious_reference(
    distinct: list[Row], data: st.DataObject, rows_per_part: int
) -> None:
    # No more rows than are read into one chunk at most, so that only full chunks are cut.
    rows = data.draw(st.lists(st.sampled_from(distinct), max_size=ROWS_READ_PER_EXAMPLE)) if distinct else []
    usable = [row for row in rows if isinstance(row, Example)]
    first: dict[str, Example] = {}
    for row in usable:
        first.setdefault(row.id, row)

    chunks = list(canonical_chunks(rows, rows_per_part))
    examples, sources, quarantine = tables(chunks)

    assert examples["example_id"].to_pylist() == list(first)
    assert [turns_of(m) for m in examples["messages"].to_pylist()] == [row.turns for row in first.values()]
    assert examples["tools"].to_pylist() == [row.tools for row in first.values()]
    assert examples["prompt"].to_pylist() == [prompt_text(row.turns) for row in first.values()]
    assert examples["response"].to_pylist() == [response_text(row.turns) for row in first.values()]
    assert examples["n_turns"].to_pylist() == [len(row.turns) for row in first.values()]
    assert [tuple(row.values()) for row in sources.to_pylist()] == [
        (row.id, row.source, row.row, row.licence, row.group) for row in usable
    ]
    assert [Quarantined(**row) for row in quarantine.to_pylist()] == [r for r in rows if isinstance(r, Quarantined)]
    assert all(chunk.examples.num_rows == rows_per_part for chunk in chunks[:-1])


def test_chunks_do_not_depend_on_anything_but_the_rows() -> None:
    rows = [example(str(n % 70), n) for n in range(200)]
    assert list(canonical_chunks(rows, 16)) == list(canonical_chunks(iter(rows), 16))


def test_a_duplicate_in_a_later_chunk_or_source_adds_a_source_only() -> None:
    first, second = [example("x", 1), example("y", 2)], [example("x", 9, "b.csv")]
    chunks = list(canonical_chunks(chain(first, second), 1))
    assert [chunk.examples.num_rows for chunk in chunks] == [1, 1, 0]
    assert chunks[2].sources.to_pylist() == [
        {"example_id": first[0].id, "source": "b.csv", "row": 9, "licence": None, "group": None}
    ]


def test_tools_are_part_of_what_makes_a_conversation() -> None:
    with_tools = Example(example("x").turns, "a.jsonl", 2, tools='[{"name": "f"}]')
    (chunk,) = canonical_chunks([example("x"), with_tools], 10)
    assert chunk.examples.num_rows == 2


def test_a_chunk_is_cut_when_its_text_grows_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_tables, "CHUNK_CHARACTERS", 10_000)
    chunks = list(canonical_chunks([example(f"{n}" * 4_000, n) for n in range(1, 10)], 1000))
    assert [chunk.examples.num_rows for chunk in chunks] == [3, 3, 3]


def test_a_chunk_is_cut_when_nothing_new_is_read() -> None:
    rows: list[Row] = [example("x", 1), *(problem(n) for n in range(2, 100))]
    chunks = list(canonical_chunks(rows, 2))
    assert max(chunk.quarantine.num_rows + chunk.sources.num_rows for chunk in chunks) == 32
    assert sum(chunk.quarantine.num_rows for chunk in chunks) == 98


def test_no_rows_give_no_chunk() -> None:
    assert list(canonical_chunks([], 10)) == []


def test_the_schemas_are_the_contract() -> None:
    (chunk,) = canonical_chunks([example("x"), problem(2)], 10)
    assert (chunk.examples.schema, chunk.sources.schema, chunk.quarantine.schema) == (EXAMPLES, SOURCES, QUARANTINE)
    for batch in (chunk.examples, chunk.sources, chunk.quarantine):
        batch.validate(full=True)
