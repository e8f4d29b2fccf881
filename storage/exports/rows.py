"""Reads the kept rows of a selection one at a time, in corpus order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from curate.schemas.corpus import Turn, turns_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.storage.warehouse.warehouse import Warehouse

NOT_STATED = "not stated"
"""Counted as the licence of a source without one."""


@dataclass(frozen=True, slots=True)
class KeptRow:
    """One kept example."""

    example_id: str
    rank: int
    """Rank among the kept rows, from 1."""
    turns: tuple[Turn, ...]
    tools: str | None
    """JSON text of the tools that the assistant may call, as in the corpus."""
    sources: tuple[str, ...]
    licences: tuple[str, ...]
    """Licences of its sources, sorted; `NOT_STATED` for a source without one."""


class UnsupportedRow(Exception):
    """A format cannot represent this row; the message is the reason for which the row is left out, one clause."""


def kept_ranks(warehouse: Warehouse, selection_id: str) -> dict[str, int]:
    """Return the rank of every kept example by its id, best first."""
    ledger = warehouse.read("selection", selection_id, columns=["example_id", "rank"])
    kept = ledger.filter(pc.is_valid(ledger["rank"])).sort_by("rank")
    return dict(zip(kept["example_id"].to_pylist(), kept["rank"].to_pylist(), strict=True))


def kept_rows(warehouse: Warehouse, corpus_id: str, rank: dict[str, int]) -> Iterator[KeptRow]:
    """Yield the examples whose ids are in `rank`, in corpus order; one part of the corpus is in memory at a time.

    Raises
    ------
    WarehouseError
        If a part is missing or damaged.
    """
    origins = _origins(warehouse, corpus_id, rank)
    for batch in warehouse.batches("corpus", corpus_id, columns=["example_id", "messages", "tools"]):
        wanted = [position for position, name in enumerate(batch["example_id"].to_pylist()) if name in rank]
        for row in batch.take(pa.array(wanted, pa.int64())).to_pylist():
            name = row["example_id"]
            sources, licences = origins[name]
            yield KeptRow(
                name, rank[name], turns_of(row["messages"]), row["tools"], tuple(sorted(sources)),
                tuple(sorted(licences)),
            )  # fmt: skip


def _origins(warehouse: Warehouse, corpus_id: str, rank: dict[str, int]) -> dict[str, tuple[set[str], set[str]]]:
    """Return the names and the licences of the sources of every kept example."""
    origins: dict[str, tuple[set[str], set[str]]] = {name: (set(), set()) for name in rank}
    for batch in warehouse.batches("corpus", corpus_id, "sources", ["example_id", "source", "licence"]):
        for name, source, licence in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if name in origins:
                origins[name][0].add(source)
                origins[name][1].add(licence or NOT_STATED)
    return origins
