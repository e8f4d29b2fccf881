"""Random corpus files of every shape and container, with what people, tools and disks do to them.

`draw` gives a file and which of its rows must still be read: rows that were not touched, as they were. Rows that lack
what they need must not be read at all.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import zstandard

from curate.schemas.corpus import Turn, example_id
from references.conversations import CONTAINERS, MULTI, SINGLE, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from random import Random

WORDS = (
    "a", "sun", "Überfluß", "日本", "e\u0301", "x = {1: [2]}", '"said"', "'", ",", ";", "\\n", "\n", "\n\n    return x",
    "\t", "\u2028", "\u00a0", "<think>", "{", "}", "[]", "null", "0", "-1.5", "1e5", "\u200b", "🙂", "// no", "a\r\nb",
    "\ufeffx",
)  # fmt: skip
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "skippable": lambda data: struct.pack("<II", 0x184D2A50, 3) + b"abc" + zstandard.compress(data),
}
TEXT = ("rows.json", "rows.jsonl", "lines.json", "rows.csv", "rows.tsv", "wrapped.json")
LINES = ("rows.jsonl", "lines.json")


@dataclass
class DamagedFile:
    """A file and what must come of it."""

    path: Path
    about: str
    expected: list[str] = field(default_factory=list)
    """Ids of the rows that were not touched."""
    exact: bool = True
    """Whether nothing else may be read; False where bytes of texts may have changed unseen."""
    may_fail: bool = False
    """Whether an error for the whole file is right, and rows that are gone without a trace are."""


def draw(folder: Path, random: Random) -> DamagedFile:
    """Write a random file; the same state of `random` writes the same file."""
    container = random.choice(list(CONTAINERS))
    conversations = [_turns(random) for _ in range(random.randint(1, 12))]
    rows, shape = _rows(conversations, container, random)
    ids = [example_id(turns) for turns in conversations]
    touched = _touch(rows, shape, container, random) if random.random() < 0.4 and len(rows) > 3 else set()
    path = folder / container
    CONTAINERS[container](path, rows)
    drawn = DamagedFile(path, f"{container} {shape}", [one for i, one in enumerate(ids) if i not in touched])
    if path.is_file():
        _handle(drawn, container, random)
    return drawn


def _text(random: Random) -> str:
    return "w" + " ".join(random.choices(WORDS, k=random.randint(1, 8))) + random.choice((".", "x", "7"))


def _turns(random: Random) -> tuple[Turn, ...]:
    return Turn("user", _text(random)), Turn("assistant", _text(random))


def _rows(conversations: Sequence[tuple[Turn, ...]], container: str, random: Random) -> tuple[list[Row], str]:
    if container.endswith(("csv", "tsv")) or random.random() < 0.5:
        shape = random.choice(list(SINGLE))
        return [SINGLE[shape](turns) for turns in conversations], shape
    shape = random.choice(list(MULTI))
    return [MULTI[shape](turns, None) for turns in conversations], shape


def _touch(rows: list[Row], shape: str, container: str, random: Random) -> set[int]:
    """Take from a few rows what they need, or put there what is no text; return their positions."""
    touched = set(random.sample(range(len(rows)), random.randint(1, max(1, len(rows) // 4))))
    response = list(rows[0])[1] if len(rows[0]) > 1 and shape not in ("sharegpt", "messages") else list(rows[0])[0]
    columnar = container.endswith(("parquet", "arrow", "feather", "dataset", "csv", "tsv"))
    for position in touched:
        change = random.choice(("empty",) if columnar else ("drop", "null", "empty", "number", "list", "nul"))
        value: Any = {"empty": "", "null": None, "number": 7, "list": [7], "nul": "a\0b"}.get(change)
        if columnar and not isinstance(rows[position][response], str):
            value = None
        rows[position] = {**rows[position], response: value}
        if change == "drop":
            del rows[position][response]
    return touched


def _handle(drawn: DamagedFile, container: str, random: Random) -> None:
    """Change the bytes of a file as writers, joiners and disks do."""
    data = drawn.path.read_bytes()
    kinds: list[str] = ["plain", "plain", "cut", "flip"]
    kinds += ["bom", "pack", "frames", "crlf"] * 2 if container in TEXT else []
    kinds += (
        ["garbage line", "blank lines", "joined", "commas", "separators", "inner bom"] * 2 if container in LINES else []
    )
    kind = random.choice(kinds)
    drawn.about += f", {kind}"
    lines = data.splitlines(keepends=True) if container in LINES else []
    if kind in ("cut", "flip"):
        drawn.may_fail = True
        # The last cell of a CSV file that is cut is no different from a shorter one.
        drawn.exact = kind == "cut" and not container.endswith(("csv", "tsv"))
        place = random.randrange(len(data))
        flipped = bytes([data[place] ^ random.randint(1, 255)])
        data = data[:place] if kind == "cut" else data[:place] + flipped + data[place + 1 :]
    elif kind == "garbage line":
        lines.insert(
            random.randint(0, len(lines)), random.choice((b"{broken\n", b"[1]\n", b"text\n", b'{"a": \xff}\n'))
        )
        data = b"".join(lines)
    elif kind in ("joined", "commas", "separators", "blank lines", "inner bom"):
        data = _joined([line.rstrip(b"\n") for line in lines], kind)
    elif kind == "bom":
        data = b"\xef\xbb\xbf" + data
    elif kind == "pack":
        data = PACK[random.choice(list(PACK))](data)
    elif kind == "frames":
        place = random.randrange(len(data) + 1)
        pack = PACK[random.choice(list(PACK))]
        data = pack(data[:place]) + pack(data[place:])
    elif kind == "crlf" and container in LINES:
        data = data.replace(b"\n", b"\r\n")
    drawn.path.write_bytes(data)


def _joined(lines: list[bytes], kind: str) -> bytes:
    if kind == "inner bom":
        return b"\n".join(b"\xef\xbb\xbf" + line for line in lines)
    between = {"joined": b"", "commas": b",\n", "separators": b"\n\x1e", "blank lines": b"\n \n\n"}[kind]
    return between.join(lines)
