"""Which quantised models can be scored here, told from the configuration alone before anything is loaded.

bitsandbytes and torchao are tested, on a CPU too. Everything else that transformers can open (GPTQ, AWQ, FP8, …) is
left to it on a GPU, and is not verified by us.
"""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING

from curate.schemas.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

VERIFIED = {"bitsandbytes": "bitsandbytes", "torchao": "torchao"}
"""Method to the package that computes with it, of those whose scores we test."""

OTHERS = {"gptq": "gptqmodel", "awq": "gptqmodel", "compressed-tensors": "compressed_tensors"}
"""The same of methods that we only pass on."""


def quantisation(folder: Path) -> str | None:
    """Return the method that the model in `folder` is quantised with, as its configuration names it, else None."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    whole = json.loads(path.read_text("utf-8"))
    given = whole.get("quantization_config") or (whole.get("text_config") or {}).get("quantization_config")
    if not isinstance(given, dict):
        return None
    # bitsandbytes folders of old did not name the method.
    bits = any(given.get(key) for key in ("load_in_4bit", "load_in_8bit"))
    return str(given.get("quant_method") or ("bitsandbytes" if bits else "unknown")).lower()


def check_quantised(folder: Path, on_cpu: bool) -> str | None:
    """Return the method that the model in `folder` is quantised with, None for none, if it can be scored here.

    Parameters
    ----------
    folder : Path
    on_cpu : bool
        Whether it will run on a CPU.

    Raises
    ------
    MissingExtraError
        When the package for it is not installed and the extra brings it.
    InputError
        When it cannot run on this hardware, or needs a package that no extra brings.
    """
    method = quantisation(folder)
    if method is None:
        return None
    where = f"model folder {str(folder)!r} is quantised with {method}"
    if method not in VERIFIED and on_cpu:
        raise InputError(
            f"{where}, which runs on a GPU only; use --device cuda where there is one, "
            "or give the model before quantisation, or one quantised with bitsandbytes or torchao"
        )
    package = VERIFIED.get(method) or OTHERS.get(method)
    if package is not None and importlib.util.find_spec(package) is None:
        if method in VERIFIED:
            raise MissingExtraError(f"scoring {str(folder)!r}, quantised with {method},", "gpu")
        raise InputError(f"{where} and the package {package} is not installed; pip install {package}")
    return method


def keep_gradient_layout(model: nn.Module) -> None:
    """Keep a quantised model in the layout that gradients pass through.

    On CPUs with bfloat16 instructions, the first pass in evaluation mode makes bitsandbytes repack 4-bit layers for
    inference, in place; after that they pass no gradient on, without a word, and only the last layers would learn.
    """
    name = "support_avx512bf16_for_cpu"
    for module in model.modules():
        if hasattr(module, name):
            setattr(module, name, False)
