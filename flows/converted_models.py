"""Pickled models that a person said are trusted, converted once into the warehouse and used from there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curate.flows import progress
from curate.schemas.artefacts import digest

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def with_converted(warehouse: Warehouse, settings: Settings) -> Settings:
    """Return `settings` with converted folders in place of pickles, where ``--trust-pickle`` was said."""
    if not settings.trust_pickle:
        return settings
    roles = {"original": settings.original, "compressed": settings.compressed}
    return settings.model_copy(update={role: converted(warehouse, model) for role, model in roles.items()})


def converted(warehouse: Warehouse, model: str | None) -> str | None:
    """Return the folder that a pickled model was converted to, made now if it is not there; else `model` itself.

    Raises
    ------
    InputError
        If it cannot be converted.
    """
    from curate.engines.models.checkpoints import pickle_of

    pickle = None if model is None else pickle_of(Path(model).expanduser())
    if pickle is None:
        return model
    folder = warehouse.root / "models" / f"converted-{digest(warehouse.digests.files([pickle]))}"
    with warehouse.lock(f"models-{folder.name}"):
        if not folder.exists():
            from curate.engines.models.pickles import convert

            progress.note(f"converting the pickled model {pickle}, which runs what is in it")
            convert(pickle, folder)
    return str(folder)
