"""Converts a GGUF file to an ordinary model folder, dequantised by transformers; needs the extra ``gguf``."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from curate.engines.library_output import no_progress_bars
from curate.engines.models.json_files import read_object
from curate.engines.models.library_errors import as_input_error
from curate.engines.models.weight_files import INDEX, ORIGIN, SINGLE
from curate.schemas.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

EXACT = ("F64", "F32", "F16", "BF16")
"""Stored types that round no weight to zero by quantising it."""

REMEDY = "copy it again or download it again, or give a model folder in safetensors"


def find_gguf(path: Path) -> Path | None:
    """Return the GGUF file that `path` is, or the only one in a folder without safetensors; None otherwise.

    Raises
    ------
    InputError
        If the folder holds several.
    """
    if path.is_file():
        return path if path.suffix.lower() == ".gguf" else None
    if not path.is_dir() or any((path / name).is_file() for name in (SINGLE, INDEX)):
        return None
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".gguf")
    if len(files) > 1:
        named = ", ".join(file.name for file in files[:3])
        raise InputError(f"model folder {str(path)!r} holds {len(files)} GGUF files ({named}); give one of them")
    return files[0] if files else None


def convert_gguf(file: Path, folder: Path, digest: str) -> None:
    """Write the model of a GGUF file as the folder `folder`, in float32; created atomically.

    Parameters
    ----------
    file, folder : Path
    digest : str
        Of the file's content; kept in the folder.

    Raises
    ------
    MissingExtraError
        If the package gguf is not installed.
    InputError
        If the file is damaged, or of an architecture that transformers does not read.
    """
    if importlib.util.find_spec("gguf") is None:
        raise MissingExtraError(f"reading {str(file)!r}", "gguf")
    from curate.engines.models.folder import atomic_folder

    with as_input_error(f"GGUF file {str(file)!r}", REMEDY), no_progress_bars():
        types = _stored_types(file)
        tokenizer, model = _load(file)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as target:
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
            _drop_tokens(target, int(model.get_input_embeddings().weight.shape[0]))
            origin = {"file": file.name, "digest": digest, "types": types}
            (target / ORIGIN).write_text(json.dumps(origin, indent=1) + "\n", "utf-8")


def _stored_types(file: Path) -> dict[str, int]:
    """Return the number of tensors of each stored type, after checking that they can be as many layers as claimed."""
    from gguf import GGUFReader

    if file.stat().st_size == 0:
        raise ValueError("it is empty")
    reader = GGUFReader(file)
    for name, field in reader.fields.items():
        # Building the layers comes before their weights are looked for, and would take hours.
        if name.endswith(".block_count") and int(field.parts[field.data[0]][0]) > len(reader.tensors):
            claimed = int(field.parts[field.data[0]][0])
            raise ValueError(f"it claims {claimed:,} layers and holds {len(reader.tensors):,} tensors")
    return dict(sorted(Counter(tensor.tensor_type.name for tensor in reader.tensors).items()))


def _load(file: Path) -> tuple[Any, Any]:
    """Return tokenizer and model; the model as if it had never been quantised."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    model, loading_info = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, local_files_only=True, dtype=torch.float32, output_loading_info=True
    )
    if missing := sorted(loading_info["missing_keys"]):
        raise ValueError(f"it lacks {len(missing)} weights, first {missing[0]}")
    # The weights are dequantised by now; without this transformers refuses to save them.
    model.hf_quantizer, model.is_quantized = None, False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return tokenizer, model


def _drop_tokens(folder: Path, rows: int) -> None:
    """Remove the tokens of a saved tokenizer that the model has no row for.

    transformers adds ``<|endoftext|>`` to every byte-level vocabulary without it, Llama 3's among them.
    """
    if not (folder / "tokenizer.json").is_file():
        return
    tokenizer, config = (read_object(folder / name) for name in ("tokenizer.json", "tokenizer_config.json"))
    dropped = {token["content"] for token in tokenizer.get("added_tokens", []) if token["id"] >= rows}
    if not dropped:
        return
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < rows]
    named = {key for key, value in config.items() if isinstance(value, str) and value in dropped}
    config = {key: value for key, value in config.items() if key not in named}
    for name, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def dequantised_types(folder: Path) -> str | None:
    """Return the quantised types of the GGUF file that a model was made from, ``"Q4_1"``; None if there are none."""
    if not (folder / ORIGIN).is_file():
        return None
    types = read_object(folder / ORIGIN).get("types")
    return ", ".join(name for name in types if name not in EXACT) or None if isinstance(types, dict) else None
