"""What an artefact will be made of, known before it is made: the cause of its id, and whether it is there.

``curate plan`` prints recipes; a stage follows one. Knows nothing of how any stage computes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curate.schemas.artefacts import Noun, artefact_id

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Recipe:
    """The causes of one artefact."""

    noun: Noun
    version: int
    inputs: dict[str, str]
    settings: dict[str, Any]
    layout: dict[str, Any] = field(default_factory=dict)
    """Settings that do not change what is computed but how it is laid out or timed; fixed while it is being made."""

    @property
    def id(self) -> str:
        """The artefact's id."""
        return artefact_id(self.noun, self.version, self.inputs, self.settings)

    def exists_in(self, warehouse: Warehouse) -> bool:
        """Return True if the warehouse holds the artefact."""
        return warehouse.has(self.noun, self.id)

    def build(self, warehouse: Warehouse) -> AbstractContextManager[Builder]:
        """Return the builder of the artefact, holding its lock."""
        return warehouse.build(self.noun, self.id, self.version, self.inputs, self.settings, self.layout)
