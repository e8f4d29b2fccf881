"""Views over corpora; part of the public tables of `curate.storage.catalog.views`."""

from __future__ import annotations

import pyarrow as pa

from curate.schemas.corpus import EXAMPLES, MESSAGES, QUARANTINE, SOURCES
from curate.storage.catalog.columns import Column, View, columns_of

_CORPUS = ("corpus_id", "id of the corpus artefact")
EXAMPLE_ABOUT = {"example_id": "digest of the canonical conversation; the same text has the same id in every corpus"}

_SOURCE_ABOUT = {
    **EXAMPLE_ABOUT,
    "source": "file or dataset that the row was read from",
    "row": "row number in that source, from 1 (the line number for JSON lines)",
    "licence": "licence as stated by the source; null if not stated",
    "group": "value of the column named by --map group=COLUMN; null if there is none",
}
SOURCES_OF = Column(
    "sources",
    'STRUCT("source" VARCHAR, "row" BIGINT, "licence" VARCHAR)[]',
    "all source rows with this text, sorted",
)

CONTEXT_TURNS = Column(
    "context_turns",
    "INTEGER[]",
    "positions, from 0, of the assistant turns that are context only, as their source states; empty if none",
)
_VIEWED = EXAMPLES.set(
    EXAMPLES.get_field_index("messages"),
    # Without the field `supervised`, which corpora of older versions do not have: context_turns has it.
    pa.field("messages", pa.list_(pa.struct([one for one in MESSAGES.value_type if one.name != "supervised"]))),
)

EXAMPLES_VIEW = View(
    "examples",
    "One row per distinct conversation of a corpus.",
    "corpus",
    "part",
    (
        *columns_of(
            _VIEWED,
            _CORPUS,
            {
                **EXAMPLE_ABOUT,
                "messages": "the turns in order; role is system, user, assistant or tool",
                "tools": "JSON text of the tools that the assistant may call; null if none",
                "prompt": "user turns joined by blank lines; the text that is embedded",
                "response": "supervised turns of the assistant joined by blank lines",
                "n_turns": "number of turns, >= 1",
            },
        ),
        CONTEXT_TURNS,
        SOURCES_OF,
    ),
)

CORPUS_VIEWS: tuple[View, ...] = (
    EXAMPLES_VIEW,
    View(
        "sources",
        "One row per usable source row, duplicates included.",
        "corpus",
        "sources",
        columns_of(SOURCES, _CORPUS, _SOURCE_ABOUT),
    ),
    View(
        "quarantine",
        "One row per source row that could not be used, with the reason.",
        "corpus",
        "quarantine",
        columns_of(
            QUARANTINE,
            _CORPUS,
            {
                "source": "file or dataset that the row was read from",
                "row": "row number in that source, from 1; 0 if rows cannot be counted",
                "column": "column with the error; null if the whole row is unusable",
                "reason": "why the row cannot be used, one clause",
                "sample": "first characters of the row, at most 200, control characters escaped",
            },
        ),
    ),
)
