"""Corpus stage: files in any supported format → distinct conversations, their sources, and quarantined rows."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.schemas.corpus import EXAMPLES, QUARANTINE, SOURCES
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.schemas.corpus import Example, Quarantined
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1

IGNORED_FIELDS = 100
"""Largest number of ignored fields that the manifest names, the most frequent ones."""


def recipe(warehouse: Warehouse, settings: Settings) -> Recipe:
    """Return the recipe of a corpus: the content of its files and the settings for reading them.

    A file's name is an input, since the ``sources`` table contains it; its folder is not, unless two
    files have one name.
    """
    from curate.storage.formats import source_digest, source_names

    if not settings.corpus:
        raise InputError("no corpus was given; pass --corpus FILE")
    inputs = {
        f"{i}:{name}": source_digest(path, warehouse.digests.file)
        for i, (path, name) in enumerate(zip(settings.corpus, source_names(settings.corpus), strict=True))
    }
    reading = settings.ingest.model_dump(exclude={"part_rows"})
    return Recipe("corpus", VERSION, inputs, reading, {"part_rows": settings.ingest.part_rows})


def ingest(warehouse: Warehouse, settings: Settings) -> str:
    """Read `settings.corpus` into the warehouse and return the corpus id.

    Raises
    ------
    InputError
        If a file is missing, empty or unreadable, has columns that cannot be mapped, or no usable row.
    """
    from curate.storage.inputs.corpus_tables import canonical_chunks

    plan = recipe(warehouse, settings)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        ignored: Counter[str] = Counter()
        finished = min(builder.finished("part"), builder.finished("sources"), builder.finished("quarantine"))
        with progress.stage("ingest") as advance:
            chunks = canonical_chunks(_rows(settings, ignored), settings.ingest.part_rows)
            for index, chunk in enumerate(chunks):
                # A resumed run reads all text again to rebuild the set of ids seen so far, on which the detection of
                # duplicates depends; finished parts are not written again.
                if index >= finished:
                    builder.write("sources", index, chunk.sources, SOURCES)
                    builder.write("quarantine", index, chunk.quarantine, QUARANTINE)
                    builder.write("part", index, chunk.examples, EXAMPLES)
                advance(len(chunk.sources) + len(chunk.quarantine))
        counts = {table: builder.rows(table) for table in ("part", "sources", "quarantine")}
        builder.finish(
            {
                "n_examples": counts["part"],
                "n_read": counts["sources"] + counts["quarantine"],
                "n_duplicates": counts["sources"] - counts["part"],
                "n_quarantined": counts["quarantine"],
                "files": list(settings.corpus),
                "ignored_fields": dict(ignored.most_common(IGNORED_FIELDS)),
            }
        )
    return plan.id


def _rows(settings: Settings, ignored: Counter[str]) -> Iterator[Example | Quarantined]:
    from curate.storage.formats import read_source, source_names

    how = settings.ingest
    return chain.from_iterable(
        read_source(path, how.format, how.map or None, how.licence, ignored, name)
        for path, name in zip(settings.corpus, source_names(settings.corpus), strict=True)
    )
