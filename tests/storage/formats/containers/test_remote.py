"""Remote corpora are read as local ones, from an S3 server and a web server, and a broken connection is an error."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from file_server import Site, serving
from references.conversations import examples, write_arrow, write_csv, write_json, write_jsonl, write_jsonl_zst
from references.conversations import write_parquet as write_parquet_file

from curate.schemas.errors import InputError, MissingExtraError
from curate.storage.formats import read_source, source_digest, source_name, source_names
from curate.storage.formats.containers.remote import has_scheme, is_remote, local_path
from curate.storage.warehouse.part_file import digest_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[..., Any]

ROWS = [{"prompt": f"p{i} " + "x" * 500, "completion": f"c{i}"} for i in range(600)]
WRITERS = {
    "a.jsonl": write_jsonl,
    "a.jsonl.zst": write_jsonl_zst,
    "a.json": write_json,
    "a.csv": write_csv,
    "a.parquet": write_parquet_file,
    "a.arrow": write_arrow,
}


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        served.headers["ETag"] = '"1"'
        yield served


def ids(address: str | Path) -> list[str]:
    return [row.id for row in examples(list(read_source(address)))]


def content(name: str, tmp_path: Path) -> bytes:
    WRITERS[name](tmp_path / name, ROWS)
    return (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", WRITERS)
def test_files_of_a_web_server_are_the_rows_of_the_files(name: str, site: Site, tmp_path: Path) -> None:
    site.files[f"/data/{name}"] = content(name, tmp_path)
    address = f"{site.address}/data/{name}?signature=secret"
    assert ids(address) == ids(tmp_path / name)
    assert {row.source for row in read_source(address)} == {name}
    if name not in ("a.parquet", "a.arrow"):
        site.ranges = False
        assert ids(address) == ids(tmp_path / name)


def test_parquet_needs_a_server_that_gives_parts_of_files(site: Site, tmp_path: Path) -> None:
    # Larger than its last part, which is read first.
    rows = [{"prompt": os.urandom(500).hex(), "completion": "c"} for _ in range(600)]
    write_parquet_file(tmp_path / "a.parquet", rows)
    site.files["/a.parquet"] = (tmp_path / "a.parquet").read_bytes()
    site.ranges = False
    with pytest.raises(InputError, match="does not give parts of files") as error:
        ids(f"{site.address}/a.parquet?signature=secret")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("name", WRITERS)
def test_a_connection_that_breaks_is_an_error_and_no_short_corpus(
    name: str, ranges: bool, site: Site, tmp_path: Path
) -> None:
    site.files["/a/" + name] = content(name, tmp_path)
    site.cut_at, site.ranges = len(site.files["/a/" + name]) // 2, ranges
    with pytest.raises(InputError) as error:
        ids(f"{site.address}/a/{name}?signature=secret")
    assert "secret" not in str(error.value)
    assert "connection" in str(error.value) or "does not give parts" in str(error.value)


@pytest.mark.parametrize("good", range(4))
def test_a_file_that_cannot_be_read_again_is_not_empty(good: int, site: Site, tmp_path: Path) -> None:
    """A file is opened several times: for its compression, its format and its rows."""
    site.files["/a/a.jsonl"] = content("a.jsonl", tmp_path)
    site.good_requests = good
    with pytest.raises(InputError, match="connection") as error:
        ids(f"{site.address}/a/a.jsonl?signature=secret")
    assert "secret" not in str(error.value)


def test_an_empty_file_is_named_without_its_signature(site: Site) -> None:
    site.files["/a.jsonl"] = b""
    with pytest.raises(InputError, match=r"/a\.jsonl is empty") as error:
        ids(f"{site.address}/a.jsonl?signature=secret")
    assert "secret" not in str(error.value)


def test_the_digest_follows_the_etag_or_size_and_time(site: Site) -> None:
    site.files["/a.jsonl"] = b'{"prompt": "p", "completion": "c"}\n'
    address = f"{site.address}/a.jsonl"
    digests = [source_digest(address, digest_file)]
    assert source_digest(address + "?signature=2", digest_file) == digests[0]
    for headers in ({"ETag": '"2"'}, {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"},
                    {"Last-Modified": "Fri, 02 Jan 2026 00:00:00 GMT"}):  # fmt: skip
        site.headers = headers
        digests.append(source_digest(address, digest_file))
    assert len(set(digests)) == 4
    site.headers = {}
    with pytest.raises(InputError, match="neither an etag nor a size and a time"):
        source_digest(address, digest_file)


def test_what_is_not_there_is_one_sentence(site: Site) -> None:
    for address in (f"{site.address}/nothing.jsonl", "http://127.0.0.1:9/a.jsonl"):
        with pytest.raises(InputError) as error:
            ids(address)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="cannot be opened"):
        ids("nosuch://bucket/a.jsonl")


def test_a_file_address_is_a_local_path(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a b.jsonl", ROWS[:3])
    address = (tmp_path / "a b.jsonl").as_uri()
    assert ids(address) == ids(tmp_path / "a b.jsonl")
    assert source_digest(address, digest_file) == source_digest(tmp_path / "a b.jsonl", digest_file)
    assert source_name(address) == "a b.jsonl"
    assert local_path("/a/b") == "/a/b"


def test_names_and_schemes() -> None:
    assert source_name("s3://bucket/one/train.jsonl") == "train.jsonl"
    assert source_names(["s3://b/one/a.jsonl", "s3://b/two/a.jsonl"]) == ["one/a.jsonl", "two/a.jsonl"]
    assert [is_remote(one) for one in ("s3://b/a", "https://x/a", "file:///a", "/a", "a", "hub:x/y", "c:/a")] == [
        True, True, False, False, False, False, False,
    ]  # fmt: skip
    assert has_scheme(Path("s3://bucket/folder"))
    assert not has_scheme(Path("folder/s3"))


def test_the_command_line_reads_addresses_and_writes_to_none(curate: Run, site: Site) -> None:
    site.files["/a.jsonl"] = b'{"prompt": "p", "completion": "c"}\n'
    first = curate("ingest", "--corpus", f"{site.address}/a.jsonl", "--json")
    assert first.code == 0, first.err
    site.headers["ETag"] = '"2"'
    again = curate("ingest", "--corpus", f"{site.address}/a.jsonl", "--json")
    assert again.value["id"] != first.value["id"]
    for command in (
        ("ingest", "--corpus", f"{site.address}/a.jsonl", "--warehouse", "s3://bucket/w"),
        ("export", "--to", "ids", "--out", "gs://bucket/x"),
        ("compress", "model", "--out", "s3://bucket/m"),
    ):
        refused = curate(*command)
        assert refused.code == 2
        assert "is an address" in refused.err
    assert not Path("s3:").exists()
    assert not Path("gs:").exists()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a bucket ``data`` of a real S3 server on the loopback."""
    pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server")
    import boto3

    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    values = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**values, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="data")
    yield client
    server.stop()


@pytest.mark.slow
def test_files_and_folders_of_an_s3_server(bucket: Any, tmp_path: Path) -> None:
    for name in WRITERS:
        bucket.put_object(Bucket="data", Key=f"corpus/sub/{name}", Body=content(name, tmp_path))
        assert ids(f"s3://data/corpus/sub/{name}") == ids(tmp_path / name)
    for key in (".hidden.jsonl", "dataset_info.json", "notes.txt"):
        bucket.put_object(Bucket="data", Key=f"corpus/{key}", Body=b"{}")
    result = examples(list(read_source("s3://data/corpus")))
    assert list(dict.fromkeys(row.source for row in result)) == [f"corpus/sub/{name}" for name in sorted(WRITERS)]
    assert len(result) == len(ROWS) * len(WRITERS)
    before = source_digest("s3://data/corpus", digest_file)
    bucket.put_object(
        Bucket="data", Key="corpus/sub/a.jsonl", Body=gzip.compress(b'{"prompt": "p", "completion": "c"}')
    )
    assert source_digest("s3://data/corpus", digest_file) != before
    for address in ("s3://data/nothing.jsonl", "s3://nowhere/a.jsonl"):
        with pytest.raises(InputError) as error:
            ids(address)
        assert "\n" not in str(error.value)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingExtraError, match='extra "remote"'):
        ids("gs://bucket/a.jsonl")
