"""The built-in demo as a corpus and a model pair: the compressed model is created on first use and kept.

The code of ``curate compress`` creates it; only the weights before compression are shipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.flows import progress
from curate.schemas.artefacts import digest
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def is_demo(settings: Settings) -> bool:
    """Return True if neither a corpus nor a model was given."""
    return not settings.corpus and settings.original is None and settings.compressed is None


def with_demo(warehouse: Warehouse, settings: Settings) -> Settings:
    """Return `settings` with the demo's corpus and pair if neither was given, else unchanged.

    Raises
    ------
    UsageError
        If models were given without a corpus: the demo corpus does not fit them.
    """
    if not is_demo(settings):
        if not settings.corpus:
            raise UsageError("models were given without a corpus; pass --corpus FILE")
        return settings
    from curate.flows import demo

    progress.note("no corpus and no models were given: using the built-in demo")
    pair = {"original": str(demo.model_path()), "compressed": str(compressed_demo(warehouse))}
    return settings.model_copy(update={"corpus": (str(demo.pool_path()),), **pair})


def compressed_demo(warehouse: Warehouse) -> Path:
    """Return the folder of the compressed demo model, creating it on first use."""
    from curate.engines.models.checkpoints import model_files
    from curate.flows import demo

    original = demo.model_path()
    causes = [warehouse.digests.files(model_files(str(original))), dict(demo.COMPRESSION)]
    folder = warehouse.root / "models" / f"demo-{digest(causes)}"
    with warehouse.lock(f"models-{folder.name}"):
        if not folder.exists():
            from curate.engines.compress import CompressionRequest, compress

            with progress.stage("compress"):
                compress(str(original), folder, CompressionRequest(**demo.COMPRESSION))
    return folder
