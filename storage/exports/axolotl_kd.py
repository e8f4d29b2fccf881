"""Export for axolotl's distillation plugin: messages and the original's top-k log-probabilities as Parquet.

The plugin (`axolotl.integrations.kd.chat_template`) reads one list of log-probabilities for each token from the first
trained one to the last of the row, aligned at the end, and the ids beside them in ``target_token_ids``; tokens that are
not trained on have empty lists. `tail` is ours: what the k tokens leave out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curate.schemas.errors import InputError
from curate.storage.exports.rows import UnsupportedRow
from curate.storage.exports.shapes import check_supervised
from curate.storage.exports.writing import Destination, open_nameless, write_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from curate.storage.exports.rows import KeptRow

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("messages", pa.list_(_MESSAGE)),
        ("logprobs", pa.list_(pa.list_(pa.float32()))),
        ("target_token_ids", pa.list_(pa.list_(pa.int32()))),
        ("tail", pa.list_(pa.float32())),
        ("n_tokens", pa.int32()),
    ]
)
PREDICTED = ("logprobs", "target_token_ids", "tail", "n_tokens")
"""Columns that come from the original; the other two from the corpus."""
BATCH_ROWS = 256
SUM_TOLERANCE = 1e-3
"""How far the probabilities of k tokens and the tail may be from 1: they are stored as float32."""

_CONFIG = """\
# Merge this into your axolotl configuration. Rows longer than sequence_len were left out.
plugins:
  - axolotl.integrations.kd.KDPlugin
kd_trainer: true
kd_alpha: 1.0
kd_ce_alpha: 0.0
kd_temperature: 1.0
chat_template: tokenizer_default
datasets:
  - path: {path}
    ds_type: parquet
    type: axolotl.integrations.kd.chat_template
    field_messages: messages
    logprobs_field: logprobs
    temperature: 1.0
    roles_to_train:
      - assistant
    train_on_eos: turn
"""


def record(row: KeptRow) -> dict[str, Any]:
    """Return id and messages of a row; UnsupportedRow with tools, which the plugin renders in its own way."""
    check_supervised(row)
    if row.tools or any(turn.tool_call or turn.role == "tool" for turn in row.turns):
        raise UnsupportedRow("tools are laid out by axolotl in its own way, to which no prediction belongs")
    turns = [{"role": turn.role, "content": turn.content} for turn in row.turns]
    return {"example_id": row.example_id, "messages": turns}


def write(to: Destination, records: Iterable[Any]) -> list[Path]:
    """Write the data file and the configuration; return both paths."""
    data, config = to.folder / f"{to.name}.parquet", to.folder / f"{to.name}.axolotl.yml"
    with open_nameless(data) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        waiting: list[Any] = []
        for one in records:
            waiting.append(one)
            if len(waiting) == BATCH_ROWS:
                writer.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA))
    quoted = "'" + str(data.absolute()).replace("'", "''") + "'"
    write_bytes(config, _CONFIG.format(path=quoted).encode())
    return [data, config]


def read(path: Path) -> pa.Table:
    """Return the rows of an exported file, checked.

    Raises
    ------
    InputError
        If it is no such file, or a row does not hold together; the message names row and column.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{str(path)!r} is no readable Parquet file ({error}); export it again") from error
    if not table.schema.equals(SCHEMA):
        raise InputError(f"{str(path)!r} has columns {table.column_names}, not {SCHEMA.names}; export it again")
    for number, row in enumerate(table.select(PREDICTED).to_pylist()):
        if fault := _fault(row):
            raise InputError(f"{str(path)!r}, row {number}: {fault}; export it again")
    return table


def _fault(row: dict[str, Any]) -> str:
    """Return what is wrong with the predictions of a row, empty if nothing is."""
    logprobs, ids, tail = row["logprobs"], row["target_token_ids"], row["tail"]
    if not len(logprobs) == len(ids) == len(tail) < row["n_tokens"]:
        return f"{len(logprobs)} logprobs, {len(ids)} target_token_ids and {len(tail)} tail of {row['n_tokens']} tokens"
    for place, (given, names, rest) in enumerate(zip(logprobs, ids, tail, strict=True)):
        if len(given) != len(names):
            return f"token {place} has {len(given)} logprobs and {len(names)} target_token_ids"
        if given and not abs(float(np.exp(given).sum()) + rest - 1) <= SUM_TOLERANCE:
            return f"the logprobs of token {place} and its tail are no distribution"
    return ""
