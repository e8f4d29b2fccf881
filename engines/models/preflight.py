"""Checks that a model pair can be scored before anything is computed: reads tokenizers and headers, never weights.

`loading` repeats every check on the loaded models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.engines.models.checkpoints import adapter_base, check_folder, is_adapter, model_files, resolve_model
from curate.engines.models.configuration import read_config
from curate.engines.models.quantised import check_quantised, quantisation
from curate.engines.models.tokenizers import load_tokenizer, vocabulary_mismatch
from curate.engines.models.weight_files import read_header
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

OUTPUT_NAMES = ("lm_head.weight", "embed_out.weight", "output.weight")
"""Names of the output head in causal language models; a model with tied embeddings stores none of them."""


def check_models(
    original: str | None, compressed: str, *, device: str = "auto", trust_remote_code: bool = False
) -> None:
    """Check that the models' folders hold weights, that they can run here, and that token ids and vocabulary match.

    Parameters
    ----------
    original, compressed : str or None, str
        Folders or hub names.
    device : str
        Device or devices that they will run on; see `devices`.
    trust_remote_code : bool
        Whether Python files in the model folders may be run.

    Raises
    ------
    InputError
        Naming the folder without weights, the ids in which the tokenizers differ, or both vocabularies; or a
        quantised model that cannot run on the device.
    MissingExtraError
        If a quantised model's package is not installed.
    """
    names = [name for name in (compressed, original) if name is not None]
    bases = [_base(name) for name in names]
    for index, folder in enumerate(bases):
        if quantisation(folder) is not None:
            from curate.engines.models.devices import pair_devices

            # `bases` starts with the compressed model, `pair_devices` with the original.
            check_quantised(folder, pair_devices(device)[1 - index].type == "cpu")
    if len(bases) == 2:
        sizes = [vocabulary(folder) for folder in bases]
        if None not in sizes and sizes[0] != sizes[1]:
            raise InputError(vocabulary_mismatch(names[0], sizes[0], names[1], sizes[1]))

    load_tokenizer(
        resolve_model(compressed),
        None if original is None else resolve_model(original),
        trust_remote_code=trust_remote_code,
    )


def _base(name: str) -> Path:
    """Return the folder of the complete model of `name`, below any adapters, after checking its files."""
    folder = resolve_model(name)
    while is_adapter(folder):
        folder = resolve_model(adapter_base(folder))
    check_folder(folder)
    return folder


def vocabulary(folder: Path) -> int | None:
    """Return the number of rows of the output head, from the weights' headers or else the configuration.

    None if neither states it; `loading` then compares the loaded models.

    Raises
    ------
    InputError
        If a weights file is truncated or is no safetensors file.
    """
    # Headers before the configuration: pruned and extended models often keep an outdated vocab_size.
    stored = [rows for path in _weight_files(folder) if (rows := _output_rows(path)) is not None]
    if stored:
        return stored[0]
    config = read_config(folder)
    size = config.get("vocab_size") or (config.get("text_config") or {}).get("vocab_size")
    return int(size) if size else None


def _weight_files(folder: Path) -> list[Path]:
    return [path for path in model_files(str(folder)) if path.suffix == ".safetensors"]


def _output_rows(path: Path) -> int | None:
    tensors = read_header(path)
    name = next((name for name in OUTPUT_NAMES if name in tensors), None)
    return None if name is None else next(iter(tensors[name].shape), None)
