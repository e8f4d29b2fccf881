"""Describes a loaded model for the manifest of an artefact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from curate.engines.models.loading import LanguageModel


def describe(model: LanguageModel) -> dict[str, Any]:
    """Return the manifest entry of a model.

    Returns
    -------
    dict
        ``class``, ``parameters``, ``quantised`` (the method, or None), ``sparsity`` (share of zeros in linear layers
        other than the output head, in [0, 1]; None for a quantised model, whose packed weights do not show it),
        ``tied_embeddings``, ``vocabulary``, ``context``, ``dtype``, ``device``.
    """
    tied = model.model.get_input_embeddings().weight is model.model.get_output_embeddings().weight
    output = model.model.get_output_embeddings()
    linear = [m.weight for m in model.model.modules() if isinstance(m, nn.Linear | Conv1D) and m is not output]
    method = getattr(model.model, "quantization_method", None)
    # Zeros of packed weights would be zeros of a code, not of a weight.
    zeros = 0 if method is not None else sum(int((weight == 0).sum()) for weight in linear)
    return {
        "class": type(model.model).__name__,
        "parameters": model.model.num_parameters(),
        "quantised": None if method is None else str(getattr(method, "value", method)),
        "sparsity": None if method is not None else zeros / max(1, sum(weight.numel() for weight in linear)),
        "tied_embeddings": tied,
        "vocabulary": model.head.vocabulary,
        "context": model.context,
        "dtype": str(model.head.weight.dtype).removeprefix("torch."),
        "device": str(model.device),
    }
