"""Stores the weights of all decoder layers in 8 bits, with one scale for each output.

torchao's weight-only form, which plain transformers loads again: w_ij ≈ s_i · q_ij with q_ij in int8 and s_i =
max_j |w_ij| / 127, about. Activations, embeddings, norms and the output head keep their number format.
"""

from __future__ import annotations

import copy
import importlib.util
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from curate.engines.library_output import no_progress_bars
from curate.engines.models.library_errors import as_input_error
from curate.engines.models.projections import prunable_projections
from curate.engines.models.quantised import plain_weight
from curate.schemas.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

BITS = 8
"""Bits of a weight. On a CPU torchao 0.18 stores weights of 4 bits in a byte each, so they would save nothing."""


def quantise(model: PreTrainedModel, source: Path) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return the model of the folder `source` with the weights of its decoder layers in 8 bits, and the report.

    Parameters
    ----------
    model : PreTrainedModel
        The model as it is stored; unchanged.

    Returns
    -------
    quantised : PreTrainedModel
    report : dict
        ``bits``; ``quantised_weights``, how many; ``quantisation_error``, ‖w' − w‖ / ‖w‖ over all of them.

    Raises
    ------
    MissingExtraError
        If torchao is not installed.
    InputError
        If a matrix of the layers would keep its format.
    """
    if importlib.util.find_spec("torchao") is None:
        raise MissingExtraError("--method quantise", "quantise")
    check_linear(model)
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    with as_input_error(f"model folder {str(source)!r}", "use --method wanda or width"), no_progress_bars():
        # transformers quantises while it loads, and records in the model what saving and loading need.
        quantised: PreTrainedModel = type(model).from_pretrained(
            source,
            config=copy.deepcopy(model.config),
            dtype=model.dtype,
            quantization_config=TorchAoConfig(Int8WeightOnlyConfig(version=2)),
            device_map={"": "cpu"},
            use_safetensors=True,
            local_files_only=True,
        )
    return quantised.eval(), {"bits": BITS, **_rounding(model, quantised)}


def check_linear(model: PreTrainedModel) -> None:
    """Raise InputError unless every matrix of the decoder layers belongs to a linear layer, which torchao quantises."""
    for projection in prunable_projections(model):
        if not isinstance(projection.module, nn.Linear):
            kind = type(projection.module).__name__
            raise InputError(
                f"weight {projection.name} of this {model.config.model_type!r} model is in a {kind}, which torchao "
                "leaves as it is; use --method wanda or width"
            )


@torch.no_grad()
def _rounding(model: PreTrainedModel, quantised: PreTrainedModel) -> dict[str, Any]:
    weights, moved, length = 0, 0.0, 0.0
    after = dict(quantised.named_parameters())
    for projection in prunable_projections(model):
        before = projection.matrix.float()
        difference = plain_weight(after[f"{projection.name}.weight"]).float() - before
        weights += before.numel()
        moved += float(difference.square().sum(dtype=torch.float64))
        length += float(before.square().sum(dtype=torch.float64))
    return {"quantised_weights": weights, "quantisation_error": (moved / length) ** 0.5 if length else 0.0}
