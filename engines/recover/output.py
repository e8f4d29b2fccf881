"""Merges and writes the trained model, verifies it, and rehearses both before the training.

A model that cannot be merged, saved or loaded again must be known before hours of training, not after. The adapter of
step 0 computes what the model computes, so that a rehearsal can use the model itself, without a second copy in memory.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import torch

from curate.engines.models.loading import load_model
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.methods.merging import compare_logits, merge, probe_logits
from curate.engines.recover.prepare import load_for_training

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.methods.sparsity import NonzeroMasks
    from curate.engines.recover.prepare import LoadedSetup, RecoverySetup
    from curate.engines.recover.results.work_folder import WorkFolder
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest

PROBE_ROWS = 4
"""Rows whose logits are compared between the trained and the written model."""


def rehearse(loaded: LoadedSetup, masks: NonzeroMasks, request: RecoveryRequest, folder: WorkFolder) -> None:
    """Attach, merge, write and load the untrained model, then delete what was written.

    `loaded.model` is afterwards a model with the same weights.

    Raises
    ------
    GateError
        When the zeros would change, or the written model is another one.
    WarehouseError
        When the model or its adapter cannot be written.
    """
    adaptation = attach(loaded.model, loaded.method, request)
    logits = trained_logits(loaded)
    save_adapter(adaptation, loaded, request, folder)
    if request.merge:
        # Not rounded to the stored dtype: the model goes on to be trained.
        merge(adaptation, masks, None)
        folder.write_model(loaded, merged=True)
        del adaptation
        source = loaded.model.name_or_path
        free_model(loaded)
        loaded.model = load_for_training(loaded, request, folder.staged)
        # The folder is deleted below, and an adapter names its base by this.
        loaded.model.name_or_path = loaded.model.config.name_or_path = source
        compare_logits(logits, trained_logits(loaded), loaded.model.dtype)
    else:
        folder.write_model(loaded, merged=False)
        adaptation.detach()
    folder.discard_result()


def save_adapter(adaptation: Adaptation, loaded: LoadedSetup, request: RecoveryRequest, folder: WorkFolder) -> None:
    """Write the trained tensors; called before merging, which takes the adapter apart."""
    # After a reconstruction the adapter would need a base model that is not stored anywhere.
    if not request.reconstruct:
        folder.save_adapter(adaptation, {"method": loaded.method, "request": request.to_json()})


def trained_logits(loaded: LoadedSetup) -> list[Tensor]:
    """Return the logits of the probe rows, each (T, V)."""
    return probe_logits(loaded.model, _probe_rows(loaded))


def difference_of_written(loaded: LoadedSetup, folder: Path, logits: list[Tensor]) -> float:
    """Load the written model as a user would, in place of the trained one, and return how far its logits are from it.

    Raises
    ------
    GateError
        When rounding does not explain the difference.
    """
    device = loaded.model.device
    free_model(loaded)
    loaded.model = load_model(folder, device, loaded.precision)
    return compare_logits(logits, trained_logits(loaded), loaded.stored)


def free_model(loaded: LoadedSetup) -> None:
    """Delete the model, so that the one to be loaded next is alone in memory."""
    del loaded.model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _probe_rows(setup: RecoverySetup) -> list[Encoded]:
    return (setup.heldout or setup.rows)[:PROBE_ROWS]
