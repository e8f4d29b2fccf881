"""What a damaged or odd row does: it is quarantined and named, and no good row is lost beside it."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from references.bad_input import alpaca, rows_and_error
from references.conversations import examples, json_lines, problems, write_arrow, write_csv, write_jsonl

from curate.schemas.corpus import EXAMPLES, QUARANTINE, Example
from curate.storage.formats import read_source
from curate.storage.inputs.corpus_tables import canonical_chunks


def test_broken_json_in_line_4000_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = json_lines([alpaca(n) for n in range(1, 5001)]).splitlines(keepends=True)
    lines[3999] = lines[3999].replace(b'", "input"', b' "input"')
    path.write_bytes(b"".join(lines))
    result = list(read_source(path))
    assert [row.row for row in examples(result)] == [n for n in range(1, 5001) if n != 4000]
    (problem,) = problems(result)
    assert (problem.source, problem.row, problem.column) == ("rows.jsonl", 4000, None)
    assert problem.reason.startswith("not valid JSON (Expecting ")
    assert problem.sample.startswith('{"instruction": "say 4000 "input"')


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", None),
        (b"   \t\r", None),
        (b"[1, 2]", "not a JSON object with named columns but a JSON array"),
        (b"null", "not a JSON object with named columns but a JSON null"),
        (b'"text"', "not a JSON object with named columns but a JSON string"),
        (b"\0\0\0", "not valid JSON (Expecting value at character 1)"),
        (b'{"instruction": "a", "output": "b"} x', "not valid JSON (Extra data at character 37)"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not valid JSON (Exceeds the limit (4300 digits)"),
        (b"[" * 100_000, "JSON nested too deeply"),
    ],
)
def test_a_line_that_is_no_row_is_skipped_if_blank_and_else_quarantined(
    line: bytes, reason: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json_lines([alpaca(1)]) + line + b"\n" + json_lines([alpaca(3)]))
    result = list(read_source(path))
    assert [row.row for row in examples(result)] == [1, 3]
    assert [problem.row for problem in problems(result)] == ([] if reason is None else [2])
    assert all(problem.reason.startswith(reason or "") for problem in problems(result))


CELLS = {
    rb"b\u0000c": "NUL byte at character 2",
    b"b\0c": "NUL byte at character 2",
    rb"b\ud83d": "unpaired surrogate U+D83D at character 2",
    rb"\ude00b": "unpaired surrogate U+DE00 at character 1",
    b"b\xff": "unpaired surrogate U+DCFF (or byte 0xFF, which is not UTF-8) at character 2",
    b"\xed\xa0\x80": "unpaired surrogate U+DCED (or byte 0xED, which is not UTF-8) at character 1",
    rb"\ud83d\ude00": None,
    "\U0001f600".encode(): None,
}


@pytest.mark.parametrize(
    ("container", "cell"),
    [(name, cell) for name in ("rows.jsonl", "rows.json") for cell in CELLS]
    + [("rows.csv", cell) for cell in CELLS if b"\\u" not in cell],
)
def test_text_that_is_not_unicode_is_quarantined_with_its_column(container: str, cell: bytes, tmp_path: Path) -> None:
    path, reason = tmp_path / container, CELLS[cell]
    good, bad = b'{"instruction": "a", "output": "b"}', b'{"instruction": "a", "output": "' + cell + b'"}'
    if container == "rows.csv":
        path.write_bytes(b"instruction,output\na,b\na," + cell + b"\nc,d\n")
    elif container == "rows.json":
        path.write_bytes(b"[" + good + b"," + bad + b"," + good + b"]")
    else:
        path.write_bytes(good + b"\n" + bad + b"\n" + good + b"\n")
    result = list(read_source(path))
    assert len(examples(result)) == (3 if reason is None else 2)
    assert [(p.row, p.column, p.reason) for p in problems(result)] == (
        [] if reason is None else [(2, "output", reason)]
    )
    # Every row of quarantine has to fit into Arrow, whatever it was made of.
    (chunk,) = canonical_chunks(result, 10)
    assert chunk.quarantine.schema == QUARANTINE


def test_bytes_that_are_not_utf8_in_a_column_of_parquet_are_quarantined(tmp_path: Path) -> None:
    binary = pa.array([b"a", b"b\xffc", b"d"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, binary.buffers())
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"instruction": text, "output": ["x", "y", "z"]}), path)
    result = list(read_source(path))
    assert [row.row for row in examples(result)] == [1, 3]
    assert [(p.row, p.column) for p in problems(result)] == [(2, "instruction")]


def test_an_arrow_file_whose_offsets_are_corrupt_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrow"
    write_arrow(path, [alpaca(n) for n in range(100)])
    # The offsets of `instruction` ("say 0" has 5 characters): the next two are made to point far outside.
    offsets = b"".join(n.to_bytes(4, "little") for n in (0, 5, 10))
    assert path.read_bytes().count(offsets) == 1
    path.write_bytes(path.read_bytes().replace(offsets, bytes(4) + b"\xff\xff\xff\x7f" * 2))
    _, sentence = rows_and_error(path)
    assert "rows.arrow is a damaged Arrow file" in sentence


def test_odd_text_in_a_column_that_is_not_used_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(rb'{"instruction": "a", "output": "b", "id": "\ud83d\u0000", "n": NaN, "x": {"y": [1]}}' + b"\n")
    assert len(examples(list(read_source(path)))) == 1


@pytest.mark.parametrize("container", ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet"])
def test_a_row_of_a_megabyte_is_read(container: str, tmp_path: Path) -> None:
    big = "word " * 210_000 + "end"
    rows = [alpaca(1), alpaca(2, output=big), alpaca(3)]
    path = tmp_path / container
    if container == "rows.csv":
        write_csv(path, rows)
    elif container == "rows.parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif container == "rows.json":
        path.write_text(json.dumps(rows))
    else:
        write_jsonl(path, rows)
    result = examples(list(read_source(path)))
    assert [row.turns[-1].content for row in result] == ["1", big, "3"]
    (chunk,) = canonical_chunks(result, 10)
    assert chunk.examples.schema == EXAMPLES


def test_a_line_beyond_the_limit_is_quarantined_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("text_lines", "json_lines"):
        monkeypatch.setattr(f"curate.storage.formats.containers.{module}.MAX_ROW_BYTES", 2**20)
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [alpaca(1), alpaca(2, output="x" * 5 * 2**20), alpaca(3)])
    result = list(read_source(path))
    assert [row.row for row in examples(result)] == [1, 3]
    assert [(p.row, p.reason) for p in problems(result)] == [(2, "longer than 1 MiB")]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("one.jsonl", b'{"instruction": "a", "output": "b"}'),
        ("one.json", b'{"instruction": "a", "output": "b"}'),
        ("list.json", b'[{"instruction": "a", "output": "b"}]'),
        ("list.jsonl", b'[{"instruction": "a", "output": "b"}]'),
        ("lines.txt", b'{"instruction": "a", "output": "b"}\n'),
        ("noname", b'[{"instruction": "a", "output": "b"}]'),
        ("one.csv", b"instruction,output\r\na,b"),
        ("semicolon.csv", b"instruction;output\na;b\n"),
        ("tabs.tsv", b"instruction\toutput\na\tb\n"),
        ("ONE.CSV", b'"instruction","output"\n"a","b"\n\n'),
    ],
)
def test_a_corpus_of_one_row_is_read_from_any_container(name: str, content: bytes, bom: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(bom + content)
    (result,) = read_source(tmp_path / name)
    assert isinstance(result, Example)
    assert [turn.content for turn in result.turns] == ["a", "b"]


def test_a_json_file_of_lines_with_a_broken_first_line_is_still_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b'{"instruction": oops}\n' + json_lines([alpaca(2), alpaca(3)]))
    result = list(read_source(path))
    assert [row.row for row in examples(result)] == [2, 3]
    assert [problem.row for problem in problems(result)] == [1]


CSV_HEAD = b"instruction,output\n"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"only one\n", "1 cells where the header names 2 columns"),
        (b"a,b,c\n", "3 cells where the header names 2 columns"),
        (b'a,"b\n', "not valid CSV (',' expected after '\"')"),
        (b'a,"b" c\n', "not valid CSV (',' expected after '\"')"),
    ],
)
def test_a_broken_row_of_csv_costs_that_row_only(broken: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    good = [f'"say ""{n}""\nplease",{n}\n'.encode() for n in range(50)]
    path.write_bytes(CSV_HEAD + b"".join(good[:7]) + broken + b"".join(good[7:]))
    result = list(read_source(path))
    assert [row.turns[-1].content for row in examples(result)] == [str(n) for n in range(50)]
    assert [(p.row, p.reason) for p in problems(result)] == [(8, reason)]


def test_a_quote_that_is_never_closed_does_not_swallow_the_rest_of_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(CSV_HEAD + b'a,"b\n' + b"c,d\n" * 5000)
    result = list(read_source(path))
    assert [row.row for row in examples(result)] == list(range(2, 5002))
    assert [(p.row, p.reason, p.sample) for p in problems(result)] == [
        (1, "not valid CSV (unexpected end of data)", 'a,"b\\n')
    ]


def test_a_csv_cell_may_exceed_the_csv_modules_own_limit(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_csv(path, [alpaca(1, output="x" * 500_000)])
    assert len(examples(list(read_source(path)))) == 1


@pytest.mark.parametrize(
    ("header", "message"),
    [(b"a,output,output\n", "names the column 'output' twice"), (b'"a,b\n1,2\n', "the header row is not valid CSV")],
)
def test_a_header_row_that_means_nothing_is_an_error(header: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(header + b"1,2,3\n")
    _, sentence = rows_and_error(path)
    assert message in sentence


def test_cells_that_hold_no_text_are_not_converted_but_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table(
        {"instruction": ["a", "c"], "output": pa.array([b"\x89PNG", None], pa.binary()), "answer": ["d", "e"]}
    )
    pq.write_table(table, path)
    _, sentence = rows_and_error(path)
    assert "row 1, column 'output': a value of type binary where text is expected" in sentence
    assert len(examples(list(read_source(path, column_map={"response": "answer"})))) == 2
