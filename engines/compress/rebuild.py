"""Checks that a configuration describes the model in memory, after its layers or widths were changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers import AutoModelForCausalLM

from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def check_config(model: PreTrainedModel, rejected: str, differs: str) -> None:
    """Raise InputError if the configuration builds a model with other tensors than the one in memory.

    Parameters
    ----------
    model : PreTrainedModel
    rejected, differs : str
        Starts of the two messages: the configuration cannot be built, or builds other tensors.
    """
    try:
        config = type(model.config).from_dict(model.config.to_dict())
        # On the meta device tensors have shapes but no memory.
        with torch.device("meta"):
            rebuilt = AutoModelForCausalLM.from_config(config)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise InputError(f"{rejected} ({error})") from error
    # Some architectures choose the kind of a layer by its number (every third layer, say): they fail here.
    shapes = {name: tensor.shape for name, tensor in rebuilt.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in model.state_dict().items()}:
        raise InputError(differs)
