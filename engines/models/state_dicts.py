"""Converts ``.bin`` weights that are plain tensors to safetensors, without running any code.

torch can open such files with an unpickler that builds tensors and nothing else. Whatever needs more is left to
`pickles`, which the user must allow.
"""

from __future__ import annotations

import json
import pickle
import shutil
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from curate.engines.models.archives import check_inflated, is_mappable
from curate.engines.models.checkpoints import is_pickle
from curate.engines.models.folder import atomic_folder, copy_companions
from curate.engines.models.library_errors import reason_of
from curate.engines.models.weight_files import INDEX, SINGLE, shards
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

BIN, BIN_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
REMEDY = "copy it again or download it again"


class CodeNeededError(InputError):
    """The file holds more than tensors: opening it would run code."""


def find_state_dict(path: Path) -> list[Path]:
    """Return the ``.bin`` weights of a model folder without safetensors, empty if there are none.

    Parameters
    ----------
    path : Path
        The folder, or the only ``.bin`` file in it.

    Raises
    ------
    InputError
        If the index is damaged, or names a file that is missing.
    """
    folder = path.parent if path.is_file() else path
    if not (folder / "config.json").is_file() or any((folder / name).is_file() for name in (SINGLE, INDEX)):
        return []
    if path.is_file():
        return [path] if path.suffix == ".bin" else []
    if (folder / BIN).is_file():
        return [folder / BIN]
    return shards(folder / BIN_INDEX) if (folder / BIN_INDEX).is_file() else []


def convert_state_dict(files: list[Path], folder: Path) -> None:
    """Write the weights in `files`, and what lies beside them, as the model folder `folder`; created atomically.

    Raises
    ------
    CodeNeededError
        If a file holds more than tensors.
    InputError
        If a file is damaged, or holds something else than weights by name.
    """
    source = files[0].parent
    weight_map: dict[str, str] = {}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as target:
        for number, file in enumerate(files, 1):
            name = SINGLE if len(files) == 1 else f"model-{number:05d}-of-{len(files):05d}.safetensors"
            state = read_state_dict(file)
            weight_map |= dict.fromkeys(state, name)
            save_file(state, target / name, {"format": "pt"})
        if len(files) > 1:
            (target / INDEX).write_text(
                json.dumps({"metadata": {}, "weight_map": weight_map}, indent=1) + "\n", "utf-8"
            )
        shutil.copyfile(source / "config.json", target / "config.json")
        copy_companions(source, target)


def read_state_dict(file: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a ``.bin`` file by name, each with storage of its own.

    Raises
    ------
    As `convert_state_dict`.
    """
    check_inflated(file)
    try:
        # Mapped into memory where the format allows it, so that tensors are in memory once.
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=is_mappable(file))
    except pickle.UnpicklingError as error:
        if not is_pickle(file):
            raise InputError(f"weights file {str(file)!r} is no torch file; {REMEDY}") from error
        raise CodeNeededError(
            f"model file {str(file)!r} holds more than tensors: opening it can run any code; add --trust-pickle if you "
            "trust its source, or save the model as safetensors with save_pretrained(DIR) and give DIR"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        reason = "it is empty" if file.stat().st_size == 0 else reason_of(error)
        raise InputError(f"weights file {str(file)!r} cannot be read ({reason}); {REMEDY}") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"weights file {str(file)!r} holds no weights by name; save the model with save_pretrained")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise InputError(
                f"weights file {str(file)!r} holds {type(tensor).__name__} under {name!r}, not a weight; "
                "save the model with save_pretrained"
            )
    # safetensors writes no two names of one storage, and tied weights have one.
    return {name: tensor.detach().clone().contiguous() for name, tensor in content.items()}
