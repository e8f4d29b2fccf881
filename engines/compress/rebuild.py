"""Checks that a configuration describes the model in memory, after its layers or widths were changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoModelForCausalLM

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

REJECTIONS = (ValueError, IndexError, KeyError, TypeError, StrictDataclassError)
"""What configurations raise for values that they cannot describe; transformers 5 checks some sums by validators."""


def reread(config: PretrainedConfig) -> PretrainedConfig:
    """Return a configuration made from the values of `config`, as loading its file does.

    Raises
    ------
    Exception
        One of `REJECTIONS`, if the values contradict each other.
    """
    remade: PretrainedConfig = type(config).from_dict(config.to_dict())
    return remade


def reason(error: Exception) -> str:
    """Return what a rejection says, without the name of the validator around it."""
    return " ".join(str(error.__cause__ or error).split()).removesuffix(".")


def check_config(model: PreTrainedModel, rejected: str, differs: str) -> None:
    """Raise InputError if the configuration builds a model with other tensors than the one in memory.

    Parameters
    ----------
    model : PreTrainedModel
    rejected, differs : str
        Starts of the two messages: the configuration cannot be built, or builds other tensors.
    """
    try:
        config = reread(model.config)
        # On the meta device tensors have shapes but no memory.
        with torch.device("meta"):
            rebuilt = AutoModelForCausalLM.from_config(config)
    except REJECTIONS as error:
        raise InputError(f"{rejected} ({reason(error)})") from error
    # Some architectures choose the kind of a layer by its number (every third layer, say): they fail here.
    shapes = {name: tensor.shape for name, tensor in rebuilt.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in model.state_dict().items()}:
        raise InputError(differs)
