"""Every compression gives the rows of the plain file, in as many frames as it is written, and says where it breaks."""

import bz2
import gzip
import lzma
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from references.conversations import examples

from curate.schemas.errors import InputError
from curate.storage.formats import read_source

ROWS = b"".join(b'{"prompt": "p%d", "completion": "c%d"}\n' % (i, i) for i in range(50))
SKIPPABLE = struct.pack("<II", 0x184D2A5F, 5) + b"extra"
LONG = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1)
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def read(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    return [row.turns[0].content for row in examples(list(read_source(path)))]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.bin"])
@pytest.mark.parametrize("suffix", COMPRESS)
def test_frames_of_any_number_are_read_whatever_the_suffix(suffix: str, name: str, tmp_path: Path) -> None:
    pack, expected = COMPRESS[suffix], [f"p{i}" for i in range(50)]
    assert read(tmp_path / f"{name}.{suffix}", pack(ROWS)) == expected
    assert read(tmp_path / name, pack(ROWS[:700]) + pack(b"") + pack(ROWS[700:]) + b"\0" * 512) == expected


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_truncated_or_corrupt_frame_is_an_error(suffix: str, tmp_path: Path) -> None:
    packed = COMPRESS[suffix](ROWS)
    broken = packed[:-30] + bytes(byte ^ 0xFF for byte in packed[-30:])
    for content in (packed[:-1], packed[: len(packed) // 2], broken):
        with pytest.raises(InputError, match="truncated|corrupt"):
            read(tmp_path / "rows.jsonl", content)


@pytest.mark.parametrize("place", ["first", "between", "last", "all"])
def test_frames_of_zstandard_without_data_are_skipped(place: str, tmp_path: Path) -> None:
    pieces = [zstandard.compress(ROWS[:700]), zstandard.compress(ROWS[700:])]
    first, between, last = (SKIPPABLE * (place in (one, "all")) for one in ("first", "between", "last"))
    content = first + pieces[0] + between + pieces[1] + last
    assert read(tmp_path / "rows.jsonl.zst", content) == [f"p{i}" for i in range(50)]


def test_a_window_longer_than_the_librarys_limit_is_read(tmp_path: Path) -> None:
    writer = zstandard.ZstdCompressor(compression_params=LONG).compressobj()
    content = writer.compress(ROWS) + writer.compress(os.urandom(1000).hex().encode() + b"\n") + writer.flush()
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompressobj().decompress(content)
    assert len(read(tmp_path / "rows.jsonl.zst", content)) == 50
