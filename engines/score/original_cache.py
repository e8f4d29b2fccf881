"""The original model's part of scoring, kept on disk, so that only one model is in memory at a time.

Kept are the final hidden states that predict the supervised tokens, in the model's own number format, and the output
layer that reads them: what comes out is what a pair in memory gives, bit for bit. Or, where asked for, a `Summary` of
each prediction. One file a part; a killed run goes on at the part that it was at, and the next compressed model of the
same original finds everything there. Each part says by digests of tokens which rows it holds, so that a recovery finds
the rows that it trains on.
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
from curate.engines.score.memory import EVERY_LAYER_SHARE
from curate.engines.score.reduction import States
from curate.engines.score.response_states import response_states, response_tokens, runner
from curate.engines.score.top_k import Summary, summarise
from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Sized
    from pathlib import Path

    from curate.engines.models.loading import LanguageModel
    from curate.engines.score.config import ScoreConfig
    from curate.engines.tokens.templates import Encoded

    KeepPart = Callable[[int, "Rows", Callable[[int], None]], None]

Rows = TypeVar("Rows", bound="Sized")

Kept = dict[str, torch.Tensor]

DONE = "teacher.json"
"""Written last: a folder without it is not finished."""

KEYS, ENDS = "row_keys", "row_ends"
"""Of a part beside its columns: `row_key` of each row, (n, 16) uint8, and `offsets`, (n + 1,) int64."""


@dataclass(frozen=True)
class Place:
    """Where what was kept of one row stands: rows [start, stop) of the columns of a part."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True, eq=False)
class Teacher:
    """An original model that was here."""

    head: OutputHead
    facts: dict[str, Any]
    """What a manifest says of the model; see `models.describe`."""
    folder: Path
    top: int | None
    """Tokens of each summary, None where the states themselves were kept."""

    def part(self, index: int) -> Kept:
        """Return what was kept of one part: columns of M tokens, example after example in the order of its rows."""
        with safe_open(self.folder / _part(index), framework="pt") as part:
            return {name: part.get_tensor(name) for name in part.keys() if name not in (KEYS, ENDS)}  # noqa: SIM118

    def reference(self, kept: Kept) -> States | Summary:
        """Return the tokens of one batch, on the output layer's device, as `reduction` takes them."""
        there = {name: column.to(self.head.weight.device) for name, column in kept.items()}
        return States(self.head, there["states"]) if self.top is None else Summary(**there)


def choose(kept: Kept, ends: Sequence[int], rows: Sequence[int]) -> Kept:
    """Return the tokens of some rows of a part, row after row; `ends` as of `offsets`."""
    return {name: torch.cat([column[ends[row] : ends[row + 1]] for row in rows]) for name, column in kept.items()}


def row_key(item: Encoded) -> bytes:
    """Return 16 bytes that tell a row by its tokens and by which of them are supervised: template and length too."""
    found = hashlib.blake2b(np.ascontiguousarray(item.ids, np.int64).tobytes(), digest_size=16)
    found.update(np.packbits(item.supervised).tobytes())
    return found.digest()


def places(folder: Path) -> dict[bytes, Place]:
    """Return where each row of a remembered original stands; nothing for one that was kept without its rows' keys."""
    found: dict[bytes, Place] = {}
    for path in sorted(folder.glob("part-*.safetensors")):
        with safe_open(path, framework="np") as part:
            if KEYS not in part.keys():  # noqa: SIM118  (not a dict)
                continue
            keys, ends = part.get_tensor(KEYS), part.get_tensor(ENDS).tolist()
        for row, key in enumerate(keys):
            found[key.tobytes()] = Place(path, ends[row], ends[row + 1])
    return found


def _part(index: int) -> str:
    return f"part-{index:05d}.safetensors"


def is_remembered(folder: Path) -> bool:
    """Return whether a whole original is kept in `folder`."""
    return (folder / DONE).is_file()


def note_use(folder: Path) -> None:
    """Make what is kept in `folder` look as new as it is useful, to whoever removes what is old.

    Raises
    ------
    WarehouseError
        When the folder cannot be written.
    """
    with _writing(folder):
        os.utime(folder / DONE)


def told_of(folder: Path) -> dict[str, Any]:
    """Return what is said of a remembered original; ``made`` is when, in nanoseconds."""
    told: dict[str, Any] = {"made": 0, **json.loads((folder / DONE).read_text())}
    return told


def is_kept(folder: Path, index: int) -> bool:
    """Return whether one part is kept in `folder` already, perhaps by a run that was killed."""
    return (folder / _part(index)).is_file()


def part_keeper(
    model: LanguageModel, encode: Callable[[Rows], Sequence[Encoded]], folder: Path, config: ScoreConfig
) -> KeepPart[Rows]:
    """Return the function that keeps in `folder` what scoring or training needs of the original for one part.

    Parameters
    ----------
    model : LanguageModel
        The original.
    encode : callable
        From the rows of a part to their tokens.
    folder : Path
        Made if it is not there. Several processes may keep parts in it.
    config : ScoreConfig
        Of the scoring to come: the same batches give the same numbers.

    Returns
    -------
    callable
        Of the number of the part, its rows (for scoring as `score.part_scorer` will get them), and a function that is
        called with their number. It raises a WarehouseError when the folder cannot be written.
    """
    share = EVERY_LAYER_SHARE if config.layers == "all" else 1
    run = runner(model, config.batch_tokens, config.chunk_tokens, share)

    def keep(index: int, rows: Rows, progress: Callable[[int], None]) -> None:
        encoded = encode(rows)
        with _writing(folder):
            _save(_columns(encoded, model, config, run.run) | _index(encoded), folder / _part(index))
        progress(len(rows))

    return keep


def keep_head(model: LanguageModel, told: dict[str, Any], folder: Path, config: ScoreConfig) -> dict[str, Any]:
    """Keep the output layer of `model` in `folder`, and return what `complete` has to be given.

    `told` is kept beside it: ``facts``, see `models.describe`, and ``original``, a digest of the model's files.

    Raises
    ------
    WarehouseError
        When the folder cannot be written.
    """
    head = model.head
    tensors = {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias})
    with _writing(folder):
        _save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, folder / "head.safetensors")
    return {**told, "scale": head.scale, "softcap": head.softcap, "top": config.teacher_top}


def complete(folder: Path, told: dict[str, Any]) -> None:
    """Note that every part is kept, from which moment on `recall` works.

    Raises
    ------
    WarehouseError
        When the folder cannot be written.
    """
    with _writing(folder):
        _replace(folder / DONE, lambda path: path.write_text(json.dumps({**told, "made": time.time_ns()})))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise WarehouseError(
            f"the original's states cannot be kept in {str(folder)!r} ({error}); make room, "
            "or score without --sequential and recover without --teacher"
        ) from error


def recall(folder: Path, device: torch.device) -> Teacher:
    """Return the original that is kept in `folder`, its output layer on `device`."""
    told = json.loads((folder / DONE).read_text())
    tensors = load_file(folder / "head.safetensors", device=str(device))
    head = OutputHead(tensors["weight"], tensors.get("bias"), told["scale"], told["softcap"])
    return Teacher(head, told["facts"], folder, told["top"])


def offsets(encoded: Sequence[Encoded]) -> Sequence[int]:
    """Return where each row's supervised tokens begin among those of its part, and where the last ends."""
    found: list[int] = np.cumsum([0, *(item.n_response for item in encoded)]).tolist()
    return found


def _index(encoded: Sequence[Encoded]) -> Kept:
    keys = np.frombuffer(b"".join(map(row_key, encoded)), np.uint8).reshape(-1, 16)
    return {KEYS: torch.from_numpy(keys.copy()), ENDS: torch.tensor(offsets(encoded))}


def _columns(encoded: Sequence[Encoded], model: LanguageModel, config: ScoreConfig, run: Callable[..., None]) -> Kept:
    """Return what is kept of one part, on the CPU, computed in the batches that scoring makes."""
    ends, top, head = offsets(encoded), config.teacher_top, model.head
    tokens = ends[-1]
    if top is None:
        columns = {"states": torch.empty((tokens, head.weight.shape[1]), dtype=head.weight.dtype)}
    else:
        top = min(top, head.vocabulary)
        columns = {"ids": torch.empty((tokens, top), dtype=torch.int32), "log_p": torch.empty((tokens, top))}
        columns |= {name: torch.empty(tokens) for name in ("tail", "nll")}

    @torch.inference_mode()
    def work(rows: list[int]) -> None:
        chosen = [encoded[row] for row in rows]
        states = response_states(model, chosen)
        found: Kept = {"states": states}
        if top is not None:
            targets = response_tokens(chosen).to(states.device)
            found = vars(summarise(head, states, targets, top, config.chunk_tokens))
        for name, column in found.items():
            pieces = column.cpu().split([item.n_response for item in chosen])
            for row, piece in zip(rows, pieces, strict=True):
                columns[name][ends[row] : ends[row + 1]] = piece

    usable = [index for index, item in enumerate(encoded) if item.n_response]
    run([len(item.ids) for item in encoded], usable, work)
    return columns


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    _replace(path, lambda aside: save_file(tensors, aside))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file aside and rename it in, so that it is there whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    write(aside)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)
