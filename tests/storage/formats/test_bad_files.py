"""What a damaged, empty or missing corpus does: one clear sentence, and no other exception than InputError."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from references.bad_input import alpaca, rows_and_error
from references.conversations import examples, json_lines, write_arrow, write_csv, write_dataset

from curate.schemas.corpus import EXAMPLES
from curate.schemas.errors import InputError
from curate.storage.formats import read_source
from curate.storage.inputs.corpus_tables import canonical_chunks


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
