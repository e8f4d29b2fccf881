"""Names and prefixes of the folders inside a warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from curate.schemas.artefacts import Noun

ROOTS: tuple[Noun, ...] = ("selection", "targets", "recovery", "evaluation", "diagnosis")
"""Nouns of results, the roots of garbage collection: everything that they were built from is kept."""
TRASH = f"{atomic.TEMPORARY}gone-"
"""Prefix of folders that are being removed: hidden from readers, and removed by the next collection after a kill."""
RECOVERED = "recovered-"
"""Prefix of folders of recovered models in ``models``, followed by the id of the recovery."""
ORIGINAL_CACHE = "cache/teachers"
"""Folder with the cached predictions of original models, one folder each, written by
`curate.engines.score.original_cache`."""
