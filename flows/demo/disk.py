"""Reading and writing the demo corpus: gzipped JSON lines for the rows, Parquet for the ground truth.

Equal rows give equal JSON bytes on every machine.
"""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from curate.flows.demo.corpus import DemoRow, duplicates_of, heldout, pool
from curate.schemas.corpus import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TRUTH = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("capability", pa.string(), nullable=False),
        pa.field("label_noise", pa.bool_(), nullable=False),
        pa.field("duplicate", pa.bool_(), nullable=False),
        pa.field("contradiction", pa.bool_(), nullable=False),
        pa.field("usable", pa.bool_(), nullable=False),
        pa.field("duplicate_of", pa.int32()),
        pa.field("clean_answer", pa.string(), nullable=False),
    ]
)
"""One row per pool row, in order. ``row`` counts from 1 like the line numbers; ``label_noise``: the answer is wrong;
``contradiction``: another row answers the same question differently; ``duplicate``: the row repeats the earlier row
``duplicate_of`` exactly; ``usable`` is false for a row without an answer."""

HELDOUT_TRUTH = pa.schema(
    [pa.field("row", pa.int32(), nullable=False), pa.field("capability", pa.string(), nullable=False)]
)
"""One row per held-out row, in order; all answers are correct."""


def write_data(folder: Path) -> None:
    """Write pool, held-out rows and ground truth to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    pool_rows, heldout_rows = pool(), heldout()
    (folder / "pool.jsonl.gz").write_bytes(packed(pool_rows))
    (folder / "heldout.jsonl.gz").write_bytes(packed(heldout_rows))
    pq.write_table(truth_table(pool_rows), folder / "truth.parquet", compression="zstd")
    columns = {"row": range(1, len(heldout_rows) + 1), "capability": [row.capability for row in heldout_rows]}
    pq.write_table(pa.table(columns, schema=HELDOUT_TRUTH), folder / "heldout_truth.parquet", compression="zstd")


def packed(rows: Sequence[DemoRow]) -> bytes:
    """Return the rows as gzipped JSON lines."""
    text = "".join(json.dumps(row.alpaca(), ensure_ascii=False) + "\n" for row in rows)
    buffer = io.BytesIO()
    # No time and no file name in the gzip header: equal rows must give equal bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as stream:
        stream.write(text.encode())
    return buffer.getvalue()


def truth_table(rows: Sequence[DemoRow]) -> pa.Table:
    """Return the ground truth of the pool's rows, in their order (`TRUTH`)."""
    originals = duplicates_of(rows)
    columns = {
        "row": range(1, len(rows) + 1),
        "duplicate": [first is not None for first in originals],
        "duplicate_of": originals,
        **{
            name: [getattr(row, name) for row in rows]
            for name in ("capability", "label_noise", "contradiction", "usable", "clean_answer")
        },
    }
    return pa.table({name: columns[name] for name in TRUTH.names}, schema=TRUTH)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the alpaca rows of a file written by `write_data`."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def question_of(row: dict[str, str]) -> str:
    """Return the prompt of a row: instruction and input separated by a blank line, as the alpaca reader joins them."""
    return "\n\n".join(part for part in (row["instruction"], row["input"]) if part)


def conversation_of(row: dict[str, str]) -> tuple[Turn, ...]:
    """Return a row as a conversation of question and answer."""
    return Turn("user", question_of(row)), Turn("assistant", row["output"])
