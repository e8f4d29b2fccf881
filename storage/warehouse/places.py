"""Names of the folders inside a warehouse, and how their entries begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from curate.schemas.artefacts import Noun

ROOTS: tuple[Noun, ...] = ("selection", "recovery", "evaluation")
"""Results: what somebody asked for. Everything else is kept for their sake."""
TRASH = f"{atomic.TEMPORARY}gone-"
"""How the name of a folder begins that is being removed; no reader looks at it, and `collect` finishes it."""
RECOVERED = "recovered-"
"""How the folder of a recovered model begins in ``models``; its recovery's id follows."""
TEACHERS = "cache/teachers"
"""Folder in which original models leave their states, a folder each; `curate.engines.score.original_cache` writes
them."""
