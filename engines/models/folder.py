"""Reads the model to compress and writes the result atomically as an ordinary Hugging Face folder.

Weights keep the source's dtype; tokenizer, chat template and generation settings are copied byte for byte.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from contextlib import contextmanager
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open

from curate.engines.models.checkpoints import check_folder, is_adapter
from curate.engines.models.loading import load_model
from curate.engines.models.quantised import quantisation
from curate.engines.models.tokenizer_files import NAMED_TEMPLATES
from curate.schemas.errors import InputError, UsageError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from transformers import PreTrainedModel

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".index.json")
_REWRITTEN = ("config.json", "readme.md")
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}


def open_model(source: Path, trust_remote_code: bool = False) -> PreTrainedModel:
    """Return the model of a folder on the CPU, in its stored dtype.

    Raises
    ------
    InputError
        If the folder holds no causal language model in safetensors, an adapter, or a quantised model.
    """
    if is_adapter(source):
        raise InputError(f"folder {str(source)!r} holds an adapter; merge it into its base and compress the result")
    check_folder(source)
    if quantisation(source) is not None:
        raise InputError(f"model {str(source)!r} is quantised; compress the unquantised model instead")
    return load_model(source, torch.device("cpu"), stored_dtype(source), trust_remote_code=trust_remote_code)


def stored_dtype(source: Path) -> torch.dtype | None:
    """Return the dtype of most weights of a folder, None if no weight has a common floating dtype.

    Read from the file headers, because the configuration may state another dtype.
    """
    counts: Counter[torch.dtype] = Counter()
    for file in sorted(source.glob("model*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():
                    entry = tensors.get_slice(name)
                    if entry.get_dtype() in _DTYPES:
                        counts[_DTYPES[entry.get_dtype()]] += prod(entry.get_shape())
        except SafetensorError as error:
            raise InputError(f"weights file {str(file)!r} is damaged ({error}); copy or download it again") from error
    return counts.most_common(1)[0][0] if counts else None


def refuse_existing(out: Path) -> None:
    """Raise UsageError if `out` is a file, or a folder that is not empty."""
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"output folder {str(out)!r} exists and is not empty; give another --out, or remove it first")


def write_model(
    model: PreTrainedModel, source: Path, out: Path, more_files: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write `model` to the folder `out`, with all files of the folder `source` other than weights.

    Parameters
    ----------
    more_files : mapping of str to str
        Names and texts of further files; they replace those of `source`.

    Raises
    ------
    UsageError
        If `out` exists and is not empty.
    WarehouseError
        If it cannot be written; partial output is removed.
    """
    refuse_existing(out)
    try:
        with atomic_folder(out) as folder:
            model.save_pretrained(folder)
            for file in folder.glob("*.safetensors"):
                _sort_metadata(file)
            # After save_pretrained, so that the source's generation settings replace those that it writes.
            copy_companions(source, folder)
            for name, text in more_files.items():
                (folder / name).write_text(text, "utf-8")
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                # safetensors creates weight files with mode 600, whatever the umask.
                file.chmod((folder / "config.json").stat().st_mode)
                _flush(file)
    except (OSError, SafetensorError) as error:
        raise WarehouseError(
            f"cannot write the model to {str(out)!r} ({error}); free space or give another --out"
        ) from error


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder next to `out` that is renamed to it on success and removed on failure."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.parent / f".tmp-{out.name}-{uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
        # Same parent, hence the same file system: the rename is atomic, and replaces an empty `out`.
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def copy_companions(source: Path, folder: Path) -> None:
    """Copy the files of a model folder other than weights and configuration, byte for byte."""
    for entry in sorted(source.iterdir()):
        name = entry.name.lower()
        if entry.is_file() and not name.startswith(".") and name not in _REWRITTEN and not name.endswith(_WEIGHTS):
            shutil.copyfile(entry, folder / entry.name)
    if (source / NAMED_TEMPLATES).is_dir():
        shutil.copytree(source / NAMED_TEMPLATES, folder / NAMED_TEMPLATES)


def _sort_metadata(weights: Path) -> None:
    """Sort the metadata of a weights file, in place: safetensors writes several entries in a random order."""
    with weights.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        # Quantised weights have entries; the others keep their bytes.
        if len(header["__metadata__"]) > 1 and len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))


def _flush(path: Path) -> None:
    # Before the rename: otherwise a power cut could leave a complete name with empty files.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
