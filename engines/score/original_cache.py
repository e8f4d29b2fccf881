"""Disk cache of an original model's predictions, so that only one model is in memory at a time.

The cache stores the final hidden states that predict the supervised tokens, in the model's own dtype, and the output
head that turns them into logits; scores from it equal those of a pair in memory bit for bit. On request it stores
`TopKPredictions` instead. There is one file per part: a killed run resumes at its unfinished part, and the next
compressed model of the same original reuses everything. Each part lists the keys of its rows, so that a recovery can
look up the rows that it trains on.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from curate.engines.models.output_head import OutputHead
from curate.engines.score.reduction import ResponseStates
from curate.engines.score.response_states import batch_runner, response_states, response_tokens
from curate.engines.score.top_k import TopKPredictions, top_k_predictions
from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Sized
    from pathlib import Path

    from curate.engines.models.loading import LanguageModel
    from curate.engines.score.config import ScoreConfig
    from curate.engines.tokens.batching import BatchRunner
    from curate.engines.tokens.templates import Encoded

    WritePart = Callable[[int, "Rows", Callable[[int], None]], None]

Rows = TypeVar("Rows", bound="Sized")

Columns = dict[str, torch.Tensor]
"""Tensors by name, each with one row per supervised token."""

METADATA = "teacher.json"
"""Written last: a folder without it is incomplete."""

KEYS, ENDS = "row_keys", "row_ends"
"""Index of a part besides its columns: `row_key` of each row, (n, 16) uint8, and `row_offsets`, (n + 1,) int64."""


@dataclass(frozen=True)
class RowLocation:
    """Location of one row's tokens: [start, stop) in the columns of a part."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class CachedOriginal:
    """An original model whose predictions are on disk."""

    head: OutputHead
    facts: dict[str, Any]
    """Manifest entry of the model; see `curate.engines.models.description.describe`."""
    folder: Path
    top: int | None
    """Tokens stored per prediction, None if the hidden states are stored."""

    def part(self, index: int) -> Columns:
        """Return the cached columns of one part, M tokens, example after example in the order of the part's rows."""
        with safe_open(self.folder / _part_name(index), framework="pt") as part:
            return {name: part.get_tensor(name) for name in part.keys() if name not in (KEYS, ENDS)}  # noqa: SIM118

    def reference(self, columns: Columns) -> ResponseStates | TopKPredictions:
        """Return the predictions of one batch on the output head's device, as `reduction` takes them."""
        moved = {name: column.to(self.head.weight.device) for name, column in columns.items()}
        return ResponseStates(self.head, moved["states"]) if self.top is None else TopKPredictions(**moved)


def take_rows(columns: Columns, ends: Sequence[int], rows: Sequence[int]) -> Columns:
    """Return the tokens of some rows of a part, row after row; `ends` from `row_offsets`."""
    return {name: torch.cat([column[ends[row] : ends[row + 1]] for row in rows]) for name, column in columns.items()}


def row_key(item: Encoded) -> bytes:
    """Return 16 bytes that identify a row by its tokens and supervision mask, hence by template and length too."""
    # Fixed dtype, so that the key does not depend on how the ids were produced.
    key = hashlib.blake2b(np.ascontiguousarray(item.ids, np.int64).tobytes(), digest_size=16)
    key.update(np.packbits(item.supervised).tobytes())
    return key.digest()


def row_locations(folder: Path) -> dict[bytes, RowLocation]:
    """Return the location of each row in a cache, by `row_key`; parts without an index are left out."""
    locations: dict[bytes, RowLocation] = {}
    for path in sorted(folder.glob("part-*.safetensors")):
        with safe_open(path, framework="np") as part:
            if KEYS not in part.keys():  # noqa: SIM118  (not a dict)
                continue
            keys, ends = part.get_tensor(KEYS), part.get_tensor(ENDS).tolist()
        for row, key in enumerate(keys):
            locations[key.tobytes()] = RowLocation(path, ends[row], ends[row + 1])
    return locations


def _part_name(index: int) -> str:
    return f"part-{index:05d}.safetensors"


def is_complete(folder: Path) -> bool:
    """Return whether `folder` holds the cache of a whole corpus."""
    return (folder / METADATA).is_file()


def touch(folder: Path) -> None:
    """Update the time of last use, by which garbage collection chooses the caches to remove.

    Raises
    ------
    WarehouseError
        If the folder cannot be written.
    """
    with _writing(folder):
        os.utime(folder / METADATA)


def read_metadata(folder: Path) -> dict[str, Any]:
    """Return the metadata of a complete cache; ``made`` is the time of its completion in nanoseconds."""
    metadata: dict[str, Any] = {"made": 0, **json.loads((folder / METADATA).read_text())}
    return metadata


def has_part(folder: Path, index: int) -> bool:
    """Return whether `folder` already holds one part, perhaps from a run that was killed."""
    return (folder / _part_name(index)).is_file()


def part_writer(
    model: LanguageModel, encode: Callable[[Rows], Sequence[Encoded]], folder: Path, config: ScoreConfig
) -> WritePart[Rows]:
    """Return the function that computes and stores one part of the original's predictions in `folder`.

    Parameters
    ----------
    model : LanguageModel
        The original.
    encode : callable
        Maps the rows of a part to their tokens.
    folder : Path
        Created if missing. Several processes may write parts to it.
    config : ScoreConfig
        Of the scoring that will use the cache: equal batches give equal results.

    Returns
    -------
    callable
        Takes the index of the part, its rows (for scoring the same as `scorer.part_scorer` will get), and a function
        that is called with their number. Raises a WarehouseError if the folder cannot be written.
    """
    # The batches of scoring: another batch size would round differently.
    runner = batch_runner(model, config)

    def write(index: int, rows: Rows, progress: Callable[[int], None]) -> None:
        encoded = encode(rows)
        with _writing(folder):
            _save(_compute(encoded, model, config, runner) | _row_index(encoded), folder / _part_name(index))
        progress(len(rows))

    return write


def save_head(model: LanguageModel, metadata: dict[str, Any], folder: Path, config: ScoreConfig) -> dict[str, Any]:
    """Store the output head of `model` in `folder` and return the complete metadata for `mark_complete`.

    Parameters
    ----------
    model : LanguageModel
    metadata : dict
        ``facts``, see `curate.engines.models.description.describe`, and ``original``, a digest of the model's files.
    folder : Path
    config : ScoreConfig

    Raises
    ------
    WarehouseError
        If the folder cannot be written.
    """
    head = model.head
    tensors = {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias})
    with _writing(folder):
        _save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, folder / "head.safetensors")
    return {**metadata, "scale": head.scale, "softcap": head.softcap, "top": config.teacher_top}


def mark_complete(folder: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata after all parts; from then on `open_cache` works.

    Raises
    ------
    WarehouseError
        If the folder cannot be written.
    """
    with _writing(folder):
        _replace(folder / METADATA, lambda path: path.write_text(json.dumps({**metadata, "made": time.time_ns()})))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WarehouseError(
            f"the original's states cannot be written to {str(folder)!r} ({error}); free some space, "
            "or score without --sequential and recover with --teacher none"
        ) from error


def open_cache(folder: Path, device: torch.device) -> CachedOriginal:
    """Return the original that is cached in `folder`, its output head on `device`."""
    metadata = json.loads((folder / METADATA).read_text())
    tensors = load_file(folder / "head.safetensors", device=str(device))
    head = OutputHead(tensors["weight"], tensors.get("bias"), metadata["scale"], metadata["softcap"])
    return CachedOriginal(head, metadata["facts"], folder, metadata["top"])


def row_offsets(encoded: Sequence[Encoded]) -> Sequence[int]:
    """Return where each row's supervised tokens begin among those of its part, then where the last ends, (n + 1,)."""
    offsets: list[int] = np.cumsum([0, *(item.n_response for item in encoded)]).tolist()
    return offsets


def _row_index(encoded: Sequence[Encoded]) -> Columns:
    keys = np.frombuffer(b"".join(map(row_key, encoded)), np.uint8).reshape(-1, 16)
    # A copy, because torch warns about tensors over a read-only buffer.
    return {KEYS: torch.from_numpy(keys.copy()), ENDS: torch.tensor(row_offsets(encoded))}


def _compute(encoded: Sequence[Encoded], model: LanguageModel, config: ScoreConfig, runner: BatchRunner) -> Columns:
    """Return the columns of one part on the CPU, computed in the same batches as scoring."""
    ends, top, head = row_offsets(encoded), config.teacher_top, model.head
    columns = _empty_columns(ends[-1], head, top)

    @torch.inference_mode()
    def work(rows: list[int]) -> None:
        chosen = [encoded[row] for row in rows]
        states = response_states(model, chosen)
        computed: Columns = {"states": states}
        if top is not None:
            targets = response_tokens(chosen).to(states.device)
            computed = vars(top_k_predictions(head, states, targets, top, config.chunk_tokens))
        for name, column in computed.items():
            pieces = column.cpu().split([item.n_response for item in chosen])
            for row, piece in zip(rows, pieces, strict=True):
                columns[name][ends[row] : ends[row + 1]] = piece

    usable = [index for index, item in enumerate(encoded) if item.n_response]
    runner.run([len(item.ids) for item in encoded], usable, work)
    return columns


def _empty_columns(tokens: int, head: OutputHead, top: int | None) -> Columns:
    """Return uninitialised columns for `tokens` supervised tokens."""
    if top is None:
        return {"states": torch.empty((tokens, head.weight.shape[1]), dtype=head.weight.dtype)}
    shape = (tokens, min(top, head.vocabulary))
    columns = {"ids": torch.empty(shape, dtype=torch.int32), "log_p": torch.empty(shape)}
    return columns | {name: torch.empty(tokens) for name in ("tail", "nll")}


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    _replace(path, lambda temporary: save_file(tensors, temporary))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a temporary file and rename it, so that `path` is either whole or absent."""
    # The process id keeps workers that write the same part from sharing a temporary file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write(temporary)
    # Without the sync, a power cut after the rename could leave an empty file under the final name.
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
