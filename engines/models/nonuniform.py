"""Loads models with nonuniform layer widths, the result of structured pruning, from a folder with ``shapes.json``.

No stock class builds such a model, because its configuration has one width for all layers. ``shapes.json`` lists the
weights whose shape differs; the stock class is built and those layers are replaced. Works if the class derives its
number of heads from the projections' widths, as transformers 5 does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM

from curate.engines.models.configuration import load_config
from curate.engines.models.json_files import read_object
from curate.engines.models.weight_files import SHAPES, weight_files
from curate.schemas.errors import InputError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from transformers import PreTrainedModel


def is_nonuniform(folder: Path) -> bool:
    """Return whether `folder` holds a model with nonuniform layer widths."""
    return (folder / SHAPES).is_file()


def nonuniform_shapes(stock: PreTrainedModel, state: Mapping[str, torch.Tensor]) -> dict[str, list[int]]:
    """Return the shapes in `state` that differ from those of the stock model, by name."""
    expected = {name: tensor.shape for name, tensor in stock.state_dict().items()}
    return {
        name: list(tensor.shape)
        for name, tensor in state.items()
        if name in expected and tensor.shape != expected[name]
    }


def reshape(model: PreTrainedModel, shapes: Mapping[str, list[int]]) -> None:
    """Replace weights of linear layers by uninitialised ones of the given shapes.

    Raises
    ------
    InputError
        If a weight does not belong to a linear layer.
    """
    for name, shape in shapes.items():
        path, _, leaf = name.rpartition(".")
        module = model.get_submodule(path)
        if not isinstance(module, nn.Linear):
            raise InputError(
                f"weight {name} has the shape {tuple(shape)} and belongs to no linear layer; not supported"
            )
        old = getattr(module, leaf)
        setattr(module, leaf, nn.Parameter(torch.empty(shape, dtype=old.dtype), requires_grad=False))
        # Read by PEFT when it attaches an adapter.
        module.out_features, module.in_features = module.weight.shape


def load_nonuniform(folder: Path, dtype: torch.dtype | None) -> PreTrainedModel:
    """Return the model of a folder with nonuniform layer widths, on the CPU.

    Raises
    ------
    InputError
        If a file cannot be read, or weights are missing or have an unlisted shape.
    """
    try:
        shapes = read_object(folder / SHAPES)
        state: dict[str, torch.Tensor] = {}
        for file in weight_files(folder):
            state |= load_file(file)
        config = load_config(folder)
        stored = next((weight.dtype for weight in state.values() if weight.is_floating_point()), torch.float32)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=dtype or stored)
        reshape(model, shapes)
        missing, unknown = model.load_state_dict(state, strict=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        first = first_line(error)
        raise InputError(
            f"model folder {str(folder)!r} does not fit its {SHAPES} ({first}); convert it again"
        ) from error
    # Tied weights are stored once: they are missing from the files and no error.
    model.tie_weights()
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    absent = [name for name in missing if name not in tied]
    if absent or unknown:
        raise InputError(
            f"model folder {str(folder)!r} lacks {(absent or unknown)[0]} or has unknown weights; convert it again"
        )
    return model
