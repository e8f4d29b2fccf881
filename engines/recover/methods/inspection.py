"""Inspects a model folder: reads its configuration and tensors, or those of an adapter's base, for `detection`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from curate.engines.models.checkpoints import adapter_base, check_folder, is_adapter, resolve_model
from curate.engines.models.configuration import read_config
from curate.engines.models.gguf_files import dequantised_types
from curate.engines.models.weight_files import weight_files
from curate.engines.recover.methods.detection import Findings, detect
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
        The model before compression; only its configuration is read, to detect removed layers,
        channels, heads and experts.

    Raises
    ------
    InputError
        When the folder holds no usable model; the message names what it holds instead.
    """
    folder = resolve_model(model)
    base = None
    while is_adapter(folder):
        base = adapter_base(folder)
        folder = resolve_model(base)
    check_folder(folder)
    before = None if original is None else read_config(resolve_model(original))
    findings = detect(named_tensors(folder), read_config(folder), original=before, adapter_base=base)
    types = dequantised_types(folder)
    return findings if types is None else replace(findings, sparsity=0.0, pattern=None, dequantised=types)


def named_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor of a model folder with its name, one in memory at a time.

    Raises
    ------
    InputError
        When a file is missing or damaged.
    """
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as tensors:
                for key in tensors.keys():
                    yield key, tensors.get_tensor(key)
        except (OSError, SafetensorError) as error:
            raise InputError(f"weights file {str(path)!r} cannot be read ({error}); copy it again") from error
