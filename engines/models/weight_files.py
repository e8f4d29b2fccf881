"""Reads the headers of safetensors files and the index of a sharded model; never reads weights.

The header is parsed here rather than by the library, because a damaged file must be named with what is wrong about it,
and because a header may claim more bytes than any disk has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from curate.engines.models.json_files import REMEDY, read_object
from curate.schemas.errors import InputError

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

SHAPES = "shapes.json"
"""File that lists the weights of other shapes than the configuration says: `curate.engines.models.nonuniform`."""
ORIGIN = "gguf.json"
"""File that records the stored types of weights from a GGUF file: `curate.engines.models.gguf_files`."""

MAX_HEADER_BYTES = 100_000_000
"""Longest header that safetensors itself accepts."""

_LENGTH_BYTES = 8


@dataclass(frozen=True)
class StoredTensor:
    """What a header says of one tensor."""

    dtype: str
    """safetensors' name, ``"BF16"``."""
    shape: tuple[int, ...]
    stored_bytes: int


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name, after checking the header against the size of the file.

    Raises
    ------
    InputError
        If the file is missing, empty, truncated, or has a damaged header.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    return _read_header(str(path), status.st_size, status.st_mtime_ns)


# Every check of a folder reads the headers again; size and time of the file tell whether they are the same.
@lru_cache(maxsize=256)
def _read_header(name: str, size: int, modified: int) -> dict[str, StoredTensor]:
    path = Path(name)
    header, data = _header_json(path, size)
    tensors = {key: _tensor(path, key, entry) for key, entry in header.items() if key != "__metadata__"}
    end = max((entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"), default=0)
    if end > data:
        raise _damaged(path, f"its header claims {end:,} bytes of weights and the file has {data:,}")
    return tensors


def _header_json(path: Path, size: int) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file and the number of bytes after it."""
    if size == 0:
        raise _damaged(path, "it is empty")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > min(size - _LENGTH_BYTES, MAX_HEADER_BYTES):
                raise _damaged(path, f"its header claims {length:,} bytes and the file has {size:,}")
            header = json.loads(file.read(length))
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _damaged(path, "its header is not a JSON object")
    return header, size - _LENGTH_BYTES - length


def _tensor(path: Path, name: str, entry: Any) -> StoredTensor:
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*shape, start, end))
    except (TypeError, KeyError, ValueError):
        whole = False
    if not whole or not isinstance(dtype, str) or end < start:
        raise _damaged(path, f"its header describes the weight {name!r} wrongly")
    return StoredTensor(dtype, tuple(shape), end - start)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"weights file {str(path)!r} cannot be read ({reason}); copy it again or download it again")


def shard_names(index: Path) -> list[str]:
    """Return the sorted names of the files that an index names.

    Raises
    ------
    InputError
        If the index is damaged, or names something else than files beside it.
    """
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise InputError(f"file {str(index)!r} has no weight_map that names the files of the weights; {REMEDY}")
    for name in weight_map.values():
        # A path would let a downloaded model point at any file of this machine.
        if not isinstance(name, str) or Path(name).name != name:
            raise InputError(f"file {str(index)!r} names {name!r}, which is no file beside it; {REMEDY}")
    return sorted(set(weight_map.values()))


def shards(index: Path) -> list[Path]:
    """Return the files that an index names, each of which exists.

    Only these: files left from an earlier save do not belong to the model.

    Raises
    ------
    InputError
        As `shard_names`, and naming the first file that is missing.
    """
    paths = [index.parent / name for name in shard_names(index)]
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"model folder {str(index.parent)!r} lacks {path.name}, which its index names; copy it there"
            )
    return paths


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder: the single one, or those that the index names."""
    return [folder / SINGLE] if (folder / SINGLE).is_file() else shards(folder / INDEX)


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Return all tensors of a model folder by name, from the headers of its files."""
    return {name: tensor for path in weight_files(folder) for name, tensor in read_header(path).items()}


def elements(tensor: StoredTensor) -> int:
    """Return the number of elements of a tensor."""
    return prod(tensor.shape)
