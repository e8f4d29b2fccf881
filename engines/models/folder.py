"""Reads the model to compress and writes the result: an ordinary Hugging Face folder, there whole or not at all.

Weights keep the source's own number format; tokenizer, chat template and generation settings are copied byte for
byte. Knows nothing of how weights are chosen.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from contextlib import contextmanager
from json import loads
from math import prod
from typing import TYPE_CHECKING
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open

from curate.engines.models.checkpoints import check_folder, is_adapter
from curate.engines.models.loading import load_model
from curate.schemas.errors import InputError, UsageError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import PreTrainedModel

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".index.json")
_OURS = ("config.json", "readme.md")
_FORMATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


def open_model(source: Path, trust_remote_code: bool = False) -> PreTrainedModel:
    """Return the model of a folder on the CPU, in its own number format.

    Raises
    ------
    InputError
        When the folder is no causal language model in safetensors, an adapter, or quantised.
    """
    if is_adapter(source):
        raise InputError(f"folder {str(source)!r} holds an adapter; merge it into its base and compress the result")
    check_folder(source)
    if "quantization_config" in loads((source / "config.json").read_text("utf-8")):
        raise InputError(f"model {str(source)!r} is quantised; compress the unquantised model instead")
    return load_model(source, torch.device("cpu"), stored_dtype(source), trust_remote_code=trust_remote_code)


def stored_dtype(source: Path) -> torch.dtype | None:
    """Return the number format that most weights of a folder are stored in, None if it is none of the usual.

    The configuration is not believed: it may state another format than the files hold.
    """
    counts: Counter[torch.dtype] = Counter()
    for file in sorted(source.glob("model*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():
                    entry = tensors.get_slice(name)
                    if entry.get_dtype() in _FORMATS:
                        counts[_FORMATS[entry.get_dtype()]] += prod(entry.get_shape())
        except SafetensorError as error:
            raise InputError(f"weights file {str(file)!r} is damaged ({error}); copy or download it again") from error
    return counts.most_common(1)[0][0] if counts else None


def refuse_existing(out: Path) -> None:
    """Raise UsageError when `out` is a file, or a folder with something in it."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"output folder {str(out)!r} exists and is not empty; give another --out, or remove it first")


def write_model(model: PreTrainedModel, source: Path, out: Path) -> None:
    """Write `model` to the folder `out`, with what else the folder `source` holds besides weights.

    Raises
    ------
    UsageError
        When `out` is not free.
    WarehouseError
        When it cannot be written; nothing is left behind.
    """
    refuse_existing(out)
    try:
        with _renamed_in(out) as folder:
            model.save_pretrained(folder)
            _copy_companions(source, folder)
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                # The weights come with mode 600, whatever the umask.
                file.chmod((folder / "config.json").stat().st_mode)
                _flush(file)
    except (OSError, SafetensorError) as error:
        raise WarehouseError(
            f"cannot write the model to {str(out)!r} ({error}); free space or give another --out"
        ) from error


@contextmanager
def _renamed_in(out: Path) -> Iterator[Path]:
    """Yield a new folder beside `out` that takes its name at the end, and disappears on failure."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.parent / f".tmp-{out.name}-{uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_companions(source: Path, folder: Path) -> None:
    for entry in sorted(source.iterdir()):
        name = entry.name.lower()
        if entry.is_file() and not name.startswith(".") and name not in _OURS and not name.endswith(_WEIGHTS):
            shutil.copyfile(entry, folder / entry.name)
    if (source / "chat_templates").is_dir():
        shutil.copytree(source / "chat_templates", folder / "chat_templates")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
