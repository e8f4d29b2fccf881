"""Held-out rows of a recovery: from the user's file, the demo, or rows of the corpus that were not selected.

Never a row that is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from curate.schemas.corpus import EXAMPLES, Example, message_of
from curate.schemas.errors import InputError
from curate.schemas.selection import BUDGET

if TYPE_CHECKING:
    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

SLICE = 512
"""Largest number of rows of the corpus that are held out if no file is given."""

CONVERSATION = pa.schema([EXAMPLES.field("example_id"), EXAMPLES.field("messages"), EXAMPLES.field("tools")])


@dataclass(frozen=True)
class Heldout:
    """Source of the held-out rows."""

    path: str | None
    """File; None for rows of the corpus that were not selected."""
    about: str
    """Description for the report."""
    cause: str
    """Digest or name that represents the rows in the artefact's id."""


def heldout_source(warehouse: Warehouse, settings: Settings, corpus: Manifest) -> Heldout:
    """Return the source of the held-out rows.

    Raises
    ------
    InputError
        If the file does not exist.
    """
    from curate.flows import demo
    from curate.storage.formats import source_digest, source_name

    path = settings.recover.heldout
    if path is None and corpus.facts.get("files") == [str(demo.pool_path())]:
        path = str(demo.heldout_path())
    if path is None:
        return Heldout(None, f"at most {SLICE} rows of the corpus that were not selected", "unselected")
    return Heldout(path, source_name(path), source_digest(path, warehouse.digests.file))


def heldout_rows(
    warehouse: Warehouse, settings: Settings, selection: Manifest, source: Heldout, trained: set[str]
) -> pa.Table:
    """Return the held-out conversations without the ids in `trained`; possibly none.

    Raises
    ------
    InputError
        If all usable rows of the user's file are trained on.
    """
    if source.path is None:
        return _slice(warehouse, settings, selection)
    from curate.storage.formats import read_source

    examples = [row for row in read_source(source.path) if isinstance(row, Example) and row.id not in trained]
    if not examples:
        raise InputError(f"no row of {source.path!r} is usable and not trained on; give other held-out rows")
    rows = [
        {
            "example_id": row.id,
            "messages": [message_of(turn) for turn in row.turns],
            "tools": row.tools,
        }
        for row in examples
    ]
    return pa.Table.from_pylist(rows, schema=CONVERSATION)


def _slice(warehouse: Warehouse, settings: Settings, selection: Manifest) -> pa.Table:
    """Return a random draw, in corpus order, of the rows that were left out for the budget only."""
    ledger = warehouse.read("selection", selection.id, columns=["example_id", "reason"])
    reason = ledger["reason"].to_numpy(zero_copy_only=False)
    # Rows refused for another reason are duplicates or faulty; the loss on them would not measure the recovery.
    candidates = np.flatnonzero(reason == BUDGET)
    drawn = np.sort(np.random.default_rng(settings.seed).permutation(candidates)[:SLICE])
    return conversations(warehouse, selection.inputs["corpus"]).take(pa.array(drawn))


def conversations(warehouse: Warehouse, corpus_id: str) -> pa.Table:
    """Return id, messages and tools of every example of a corpus, in its order."""
    return warehouse.read("corpus", corpus_id, columns=CONVERSATION.names)
