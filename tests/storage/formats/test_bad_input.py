"""What a damaged or odd corpus does: unusable rows are quarantined and named, unusable files are one clear sentence.

Nothing ends in another exception than InputError, and no good row is lost beside a bad one.
"""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from references.conversations import examples, json_lines, problems, write_arrow, write_csv, write_dataset, write_jsonl

from curate.schemas.corpus import EXAMPLES, QUARANTINE, Example, Quarantined
from curate.schemas.errors import InputError
from curate.storage.formats import read_source
from curate.storage.inputs.corpus_tables import canonical_chunks


def alpaca(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"say {number}", "input": "", "output": f"{number}"} | more


def rows_and_error(path: Path, **options: Any) -> tuple[list[Example | Quarantined], str]:
    """What is read before the InputError, and its sentence."""
    result: list[Example | Quarantined] = []
    reading = read_source(path, **options)
    with pytest.raises(InputError) as error:
        result.extend(reading)
    return result, str(error.value)


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


@pytest.mark.parametrize(
    ("name", "compress", "kind"),
    [("rows.jsonl.gz", gzip.compress, "gzip"), ("rows.jsonl.zst", zstandard.compress, "zstd")],
)
@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
def test_a_truncated_compressed_file_names_itself_and_the_rows_before_the_break(
    name: str, compress: Callable[[bytes], bytes], kind: str, share: float, tmp_path: Path
) -> None:
    path = tmp_path / name
    rows = [alpaca(n, input=os.urandom(300).hex()) for n in range(3000)]
    packed = compress(json_lines(rows))
    path.write_bytes(packed[: max(12, int(len(packed) * share))])
    result, sentence = rows_and_error(path)
    assert f"{name} is a truncated {kind} file; {len(examples(result))} usable rows precede the damage" in sentence
    assert len(examples(result)) == pytest.approx(3000 * share, abs=1200)


@pytest.mark.parametrize(("name", "compress"), [("rows.csv.gz", gzip.compress), ("rows.json.gz", gzip.compress)])
def test_a_corrupt_compressed_file_is_an_error(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / name
    packed = bytearray(compress(json_lines([alpaca(n, input=os.urandom(99).hex()) for n in range(3000)])))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = bytes(40)
    path.write_bytes(packed)
    _, sentence = rows_and_error(path)
    assert f"{name} is a corrupt gzip file" in sentence or f"{name}, row 1: the columns are" in sentence


def test_concatenated_and_padded_gzip_members_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    members = [gzip.compress(json_lines([alpaca(n)])) for n in range(3)]
    path.write_bytes(b"".join(members) + b"\0" * 512)
    assert len(examples(list(read_source(path)))) == 3


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("rows.parquet", lambda path: pq.write_table(pa.Table.from_pylist([alpaca(1)] * 99), path), "damaged Parquet"),
        ("rows.arrow", lambda path: write_arrow(path, [alpaca(1)] * 99), "damaged Arrow"),
    ],
)
def test_a_truncated_columnar_file_is_an_error(
    name: str, write: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    _truncate(tmp_path / name)
    _, sentence = rows_and_error(tmp_path / name)
    assert f"{name} is a {message} file; 0 usable rows precede the damage" in sentence


def test_a_damaged_dataset_folder_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "dataset"
    write_dataset(path, [alpaca(n) for n in range(5)])
    next(path.glob("*.arrow")).unlink()
    _, sentence = rows_and_error(path)
    assert "is a damaged dataset folder" in sentence


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b"", "is empty: it holds no rows"),
        ("rows.json", b" \n ", "is empty: it holds no rows"),
        ("rows.json", b"[]", "is empty: it holds no rows"),
        ("rows.jsonl", b"\n\n\n", "is empty: it holds no rows"),
        ("rows.csv", b"instruction,output\n", "is empty: it holds no rows"),
        ("rows.jsonl.gz", gzip.compress(b"", mtime=0), "is empty: it holds no rows"),
        ("rows.txt", b"Once upon a time", "is not a file of instruction rows"),
        ("rows.json", b"Once upon a time", "no row of "),
        ("rows.jsonl", b"Once upon a time\n", "row 1: not valid JSON (Expecting value at character 1)"),
        ("rows.jsonl", b'{"title": "q", "body": "x"}\n', "the columns are title, body; known are"),
        ("rows.csv", b"title,body\n1,2\n", "the columns are title, body; known are"),
        ("rows.jsonl", b'{"instruction": "a", "output": ""}\n', "rows.jsonl, row 1, column 'output': no response"),
        ("rows.jsonl", b'{"instruction": "a"}\n', "the columns are instruction; known are"),
        ("rows.json", '[{"instruction": "a", "output": "b"}]'.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("rows.jsonl.bz2", b"BZh91AY&SY", "is a truncated bzip2 file"),
        ("rows.feather", b"FEA1" + bytes(20), "is in Feather version 1"),
        (
            "rows.parquet.gz",
            gzip.compress(b"PAR1" + bytes(20), mtime=0),
            "is a compressed columnar file; unpack it first",
        ),
        ("rows.json", b'{"instruction": {"0": "a"}, "output": {"0": "b"}}', "an object where text is expected"),
    ],
)
def test_a_file_without_a_usable_row_is_one_sentence(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    _, sentence = rows_and_error(tmp_path / name)
    assert message in sentence
    assert name in sentence
    assert "\n" not in sentence


def test_parquet_without_rows_and_with_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"instruction": pa.array([], pa.string()), "output": pa.array([], pa.string())}), path)
    assert "is empty" in rows_and_error(path)[1]
    pq.write_table(pa.table({"embedding": [[0.5] * 8], "label": [3]}), path)
    assert "the columns are embedding, label; known are" in rows_and_error(path)[1]


def test_cells_that_hold_no_text_are_not_converted_but_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table(
        {"instruction": ["a", "c"], "output": pa.array([b"\x89PNG", None], pa.binary()), "answer": ["d", "e"]}
    )
    pq.write_table(table, path)
    _, sentence = rows_and_error(path)
    assert "row 1, column 'output': a value of type binary where text is expected" in sentence
    assert len(examples(list(read_source(path, column_map={"response": "answer"})))) == 2


def test_a_missing_file_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no corpus .*nowhere\.jsonl"):
        read_source(tmp_path / "nowhere.jsonl")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not a regular file; save the data to a file first"):
        read_source(tmp_path / "pipe")


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(["a.json", "a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.arrow", "a.jsonl.gz", "a.zst", "a"]),
)
def test_random_damage_never_ends_in_another_exception(
    data: st.DataObject, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damage") / name
    rows = [alpaca(n) for n in range(20)]
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif name == "a.arrow":
        write_arrow(path, rows)
    elif name in ("a.csv", "a.tsv"):
        write_csv(path, rows, "," if name == "a.csv" else "\t")
    elif name == "a.json":
        path.write_text(json.dumps(rows))
    else:
        packers: dict[str, Callable[[bytes], bytes]] = {"a.jsonl.gz": gzip.compress, "a.zst": zstandard.compress}
        path.write_bytes(packers.get(name, bytes)(json_lines(rows)))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    path.write_bytes(content)
    try:
        for chunk in canonical_chunks(read_source(path), 8):
            assert chunk.examples.schema == EXAMPLES
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017  the error is allowed, a sentence of several lines is not
