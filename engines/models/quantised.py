"""Checks from the configuration alone whether a quantised model can be scored on this machine.

bitsandbytes and torchao are tested, including on a CPU. Other methods that transformers can load (GPTQ, AWQ, FP8, …)
are passed through on a GPU and are not tested.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import torch

from curate.engines.models.configuration import read_config
from curate.schemas.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

TESTED = {"bitsandbytes": "bitsandbytes", "torchao": "torchao"}
"""Package of each quantisation method whose scores are tested."""

EXTRAS = {"bitsandbytes": "gpu", "torchao": "quantise"}
"""Extra that brings the package of each."""

UNTESTED = {"gptq": "gptqmodel", "awq": "gptqmodel", "compressed-tensors": "compressed_tensors"}
"""Package of each method that is only passed through."""


def quantisation(folder: Path) -> str | None:
    """Return the quantisation method of the model in `folder` as named by its configuration, None for a dense model."""
    if not (folder / "config.json").is_file():
        return None
    config = read_config(folder)
    settings = config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config")
    if not isinstance(settings, dict):
        return None
    # Early bitsandbytes folders do not name the method.
    bits = any(settings.get(key) for key in ("load_in_4bit", "load_in_8bit"))
    return str(settings.get("quant_method") or ("bitsandbytes" if bits else "unknown")).lower()


def check_quantised(folder: Path, on_cpu: bool) -> str | None:
    """Return the quantisation method of the model in `folder`, after checking that it can be scored here.

    Parameters
    ----------
    folder : Path
    on_cpu : bool
        Whether it will run on a CPU.

    Raises
    ------
    MissingExtraError
        If its package is not installed and an extra provides it.
    InputError
        If it cannot run on this hardware, or needs a package that no extra provides.
    """
    method = quantisation(folder)
    if method is None:
        return None
    subject = f"model folder {str(folder)!r} is quantised with {method}"
    if method not in TESTED and on_cpu:
        raise InputError(
            f"{subject}, which runs on a GPU only; use --device cuda if there is one, "
            "or give the unquantised model, or one quantised with bitsandbytes or torchao"
        )
    package = TESTED.get(method) or UNTESTED.get(method)
    if package is not None and importlib.util.find_spec(package) is None:
        if method in TESTED:
            raise MissingExtraError(f"reading {str(folder)!r}, quantised with {method},", EXTRAS[method])
        raise InputError(f"{subject} and the package {package} is not installed; pip install {package}")
    return method


def plain_weight(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight as an ordinary tensor, dequantised if it is torchao's."""
    return weight.data if type(weight.data) is torch.Tensor else weight.data.dequantize()


def keep_gradient_layout(model: nn.Module) -> None:
    """Keep a quantised model in the layout that supports gradients.

    On CPUs with bfloat16 instructions, the first forward pass in evaluation mode makes bitsandbytes repack 4-bit layers
    for inference, in place. They then silently pass no gradient, and only the last layers would be trained.
    """
    # bitsandbytes decides by this attribute of the layer whether to repack.
    name = "support_avx512bf16_for_cpu"
    for module in model.modules():
        if hasattr(module, name):
            setattr(module, name, False)
