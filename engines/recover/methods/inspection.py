"""Inspects a model folder: reads its configuration and tensors, or those of an adapter's base, for `detection`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from curate.engines.models.checkpoints import WEIGHTS, adapter_base, check_folder, is_adapter, resolve_model
from curate.engines.recover.methods.detection import Findings, detect, layers_of
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch


def inspect_model(model: str, original: str | None = None) -> Findings:
    """Return how the model of a folder or hub name was compressed.

    Parameters
    ----------
    model : str
        A Hugging Face folder in safetensors, an adapter over one, or a hub name.
    original : str, optional
        The model before compression; only its configuration is read, to detect removed layers.

    Raises
    ------
    InputError
        When the folder holds no usable model; the message names what it holds instead.
    """
    folder = resolve_model(model)
    base = None
    if is_adapter(folder):
        base = adapter_base(folder)
        folder = resolve_model(base)
    check_folder(folder)
    original_layers = None if original is None else layers_of(read_config(resolve_model(original)))
    return detect(named_tensors(folder), read_config(folder), original_layers=original_layers, adapter_base=base)


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a model folder.

    Raises
    ------
    InputError
        When it is missing or not a JSON object.
    """
    path = folder / "config.json"
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"model configuration {str(path)!r} cannot be read ({error}); restore it") from error
    if not isinstance(value, dict):
        raise InputError(f"model configuration {str(path)!r} is not a JSON object; restore it")
    return value


def named_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor of a model folder with its name, one in memory at a time.

    Raises
    ------
    InputError
        When a file is missing or damaged.
    """
    single, index = folder / WEIGHTS[0], folder / WEIGHTS[1]
    names = [single.name] if single.is_file() else sorted(set(json.loads(index.read_text())["weight_map"].values()))
    for name in names:
        try:
            with safe_open(folder / name, framework="pt") as tensors:
                for key in tensors.keys():
                    yield key, tensors.get_tensor(key)
        except (OSError, SafetensorError) as error:
            raise InputError(f"weights file {str(folder / name)!r} cannot be read ({error}); copy it again") from error
