"""Stages, commands and scheduled flows; and the calls for Python, from `settings` to `evaluate`.

The calls are thin: each does what the command of the same name does, and gives back ids, tables and rows instead of
printing. Everything heavy is imported when a call is made, so that importing `curate.flows` costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

__all__ = ["Recovery", "Selection", "Targets", "evaluate", "recover", "sample", "select", "settings"]


@dataclass(frozen=True)
class Selection:
    """A selection in a warehouse."""

    warehouse: Warehouse
    id: str

    def summary(self) -> dict[str, Any]:
        """Return counts, reasons and clusters: what ``curate select --json`` prints."""
        from curate.flows.operations.selection_summary import summary

        return summary(self.warehouse, self.id, None)

    def ledger(self) -> pa.Table:
        """Return the ledger: one row for every example of the corpus (`curate.schemas.selection.LEDGER`)."""
        return self.warehouse.read("selection", self.id)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the kept rows in corpus order.

        Yields
        ------
        dict
            ``example_id``, ``rank`` (from 1, first taken first) and ``messages``, turns with ``role`` and ``content``.
        """
        from curate.storage.exports.rows import kept_ranks, kept_rows

        corpus = self.warehouse.manifest("selection", self.id).inputs["corpus"]
        for row in kept_rows(self.warehouse, corpus, kept_ranks(self.warehouse, self.id)):
            messages = [{"role": turn.role, "content": turn.content} for turn in row.turns]
            yield {"example_id": row.example_id, "rank": row.rank, "messages": messages}


@dataclass(frozen=True)
class Targets:
    """A model's own answers to the rows of a selection, in a warehouse."""

    warehouse: Warehouse
    id: str

    def summary(self) -> dict[str, Any]:
        """Return rows asked and solved, samples and tokens: what ``curate sample --json`` prints."""
        from curate.flows.operations.sample import summary

        return summary(self.warehouse, self.id)

    def samples(self) -> pa.Table:
        """Return the samples: one row for each (`curate.schemas.targets.TARGETS`)."""
        return self.warehouse.read("targets", self.id)


@dataclass(frozen=True)
class Recovery:
    """A recovered model in a warehouse."""

    warehouse: Warehouse
    id: str

    def report(self) -> dict[str, Any]:
        """Return what ``curate recover --json`` prints; ``model`` is the folder of the recovered model."""
        manifest = self.warehouse.manifest("recovery", self.id)
        return {"recovery_id": manifest.id, "inputs": manifest.inputs, "settings": manifest.settings, **manifest.facts}


def settings(**options: Any) -> Settings:
    """Return the settings of a run.

    Parameters
    ----------
    **options
        Fields of `curate.schemas.settings.Settings`, nested by section: ``corpus=["data.jsonl"]``,
        ``select={"budget": "0.1"}``. They take precedence over ``CURATE_*`` in the environment, and that over
        ``curate.toml`` in the current folder.

    Raises
    ------
    UsageError
        If a key is unknown or a value is out of range.
    """
    from curate.schemas.settings import resolve

    return resolve(options)


def select(settings: Settings) -> Selection:
    """Run every stage that is missing, from corpus to selection, and return the selection.

    Raises
    ------
    CurateError
        As the command does; see `curate.schemas.errors`.
    """
    from curate.flows import dispatch

    return Selection(*dispatch.select(settings))


def sample(settings: Settings, selection: str = "latest") -> Targets:
    """Draw a model's own answers to the rows of a selection and return them.

    Parameters
    ----------
    settings : Settings
        ``sample={"best_of": 8}`` and the other fields of that section; models are those of the selection where they
        are not given.
    selection : str
        Id of a selection, the beginning of one, or ``latest``.
    """
    from curate.flows.operations import sample as operation

    return Targets(*operation.sample(settings, selection))


def recover(settings: Settings, selection: str = "latest", out: Path | None = None) -> Recovery:
    """Train the compressed model on a selection and return the recovery.

    Parameters
    ----------
    settings : Settings
        Corpus and models are those of the selection where they are not given.
    selection : str
        Id of a selection, the beginning of one, or ``latest``.
    out : Path, optional
        New folder to copy the model to.
    """
    from curate.flows import dispatch

    return Recovery(*dispatch.recover(settings, selection, out))


def evaluate(settings: Settings, model: str | None = None) -> dict[str, Any]:
    """Evaluate a model beside the original and the compressed one and return the report.

    Parameters
    ----------
    settings : Settings
        ``evaluate={"tasks": [...]}`` names what is evaluated.
    model : str, optional
        Folder, hub name or recovery id; without one, the compressed model of `settings`, else the latest recovery.
    """
    from curate.flows.operations import evaluate as operation

    return operation.evaluate(settings, model)
