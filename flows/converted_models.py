"""Conversion of trusted pickled models into model folders of the warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.flows import progress
from curate.schemas.artefacts import digest

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def with_converted(warehouse: Warehouse, settings: Settings) -> Settings:
    """Return `settings` with converted folders in place of pickles where ``--trust-pickle`` is set."""
    if not settings.trust_pickle:
        return settings
    roles = {"original": settings.original, "compressed": settings.compressed}
    return settings.model_copy(update={role: converted(warehouse, model) for role, model in roles.items()})


def converted(warehouse: Warehouse, model: str | None) -> str | None:
    """Return the folder of a converted pickle, converting it on first use; any other `model` unchanged.

    Raises
    ------
    InputError
        If the pickle cannot be converted.
    """
    from curate.engines.models.checkpoints import find_pickle

    pickle = None if model is None else find_pickle(Path(model).expanduser())
    if pickle is None:
        return model
    # The folder is named by the pickle's content: the same file under another path is converted once.
    folder = warehouse.root / "models" / f"converted-{digest(warehouse.digests.files([pickle]))}"
    with warehouse.lock(f"models-{folder.name}"):
        if not folder.exists():
            from curate.engines.models.pickles import convert

            progress.note(f"converting the pickled model {pickle}; this executes the code it contains")
            convert(pickle, folder)
    return str(folder)
