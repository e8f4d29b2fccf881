"""What the original says of the rows to train on: found where scoring or an earlier recovery left it, or read once.

The original is in memory for that one pass, before the model in training is loaded, and not while training. Kept in
the format of `curate.engines.score.original_cache`, whose rows are known by their tokens: the same tokens and mask of
the same original are the same lesson, whatever corpus they were read with. Knows nothing of losses.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

from curate.engines.models.checkpoints import model_files
from curate.engines.models.description import describe
from curate.engines.models.loading import load_language_model
from curate.engines.models.output_head import verify_head
from curate.engines.models.preflight import check_models
from curate.engines.score.config import ScoreConfig
from curate.engines.score.original_cache import (
    has_part,
    is_complete,
    mark_complete,
    open_cache,
    part_writer,
    read_metadata,
    row_key,
    row_locations,
    save_head,
    touch,
)
from curate.engines.score.reduction import ResponseStates
from curate.engines.score.top_k import TopKPredictions
from curate.schemas.artefacts import digest
from curate.schemas.scores import SCORE_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from curate.engines.models.output_head import OutputHead
    from curate.engines.recover.prepare import Layout
    from curate.engines.score.original_cache import RowLocation
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest

PART_ROWS = 256
"""Rows of a part that a recovery reads: what is lost when the pass is cut off."""


@dataclass(frozen=True)
class Library:
    """Where originals leave what they say."""

    folder: Path
    """One folder for each pass over rows; the warehouse's ``cache/teachers``, or a recovery's own."""
    original: str
    """Digest of the original's files, as scoring writes it."""


@dataclass(eq=False)
class Lessons:
    """The original's output layer, and its part of every row to train on."""

    head: OutputHead
    places: Mapping[bytes, RowLocation]
    top: int | None
    _open: dict[Path, Any] = field(default_factory=dict)

    def of(self, rows: Sequence[Encoded]) -> ResponseStates | TopKPredictions:
        """Return what the original says of the supervised tokens of `rows`, row after row, on its layer's device."""
        found = [self._row(self.places[row_key(item)]) for item in rows]
        device = self.head.weight.device
        columns = {name: torch.cat([one[name] for one in found]).to(device) for name in found[0]}
        return ResponseStates(self.head, columns["states"]) if self.top is None else TopKPredictions(**columns)

    def bytes_per_token(self) -> float:
        """Return the bytes that one supervised token takes on the disk."""
        place = next(iter(self.places.values()))
        tokens = max(1, place.stop - place.start)
        return sum(one.numel() * one.element_size() for one in self._row(place).values()) / tokens

    def _row(self, place: RowLocation) -> dict[str, torch.Tensor]:
        if place.path not in self._open:
            self._open[place.path] = safe_open(place.path, framework="pt")
        part = self._open[place.path]
        names = ("states",) if self.top is None else ("ids", "log_p", "tail", "nll")
        return {name: part.get_slice(name)[place.start : place.stop] for name in names}


def library_of(said: Mapping[str, str]) -> Library:
    """Return the library that a job names."""
    return Library(Path(said["folder"]), said["original"])


def library_beside(work: Path, original: str) -> Library:
    """Return the library of a recovery that was given none; files are known by size and time, not read."""
    files = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in model_files(original)]
    return Library(work / "teachers", digest(files))


def known(library: Library, number: torch.dtype, top: int | None) -> tuple[dict[bytes, RowLocation], list[Path]]:
    """Return where rows of this original stand in the library, and the folders, the oldest first.

    Of a row that stands in several the oldest is taken, so that a resumed run finds what it began with.
    """
    found: dict[bytes, RowLocation] = {}
    folders = [one for one in library.folder.glob("[!.]*") if is_complete(one)]
    right = []
    said = sorted(((read_metadata(one), one) for one in folders), key=lambda pair: (pair[0]["made"], pair[1].name))
    for told, folder in said:
        numbers = told["facts"]["dtype"] == str(number).removeprefix("torch.")
        if told.get("original") == library.original and told["top"] == top and numbers:
            right.append(folder)
            found = row_locations(folder) | found
    return found, right


def read_lessons(
    layout: Layout,
    original: str,
    request: RecoveryRequest,
    library: Library,
    rows: Sequence[Encoded],
    into: Path | None = None,
    told: Callable[[int, int], None] = lambda done, rows: None,
) -> Lessons:
    """Return what the original says of `rows`, reading those with it that the library does not hold.

    Parameters
    ----------
    layout : Layout
    original : str
        Folder or hub name.
    request : RecoveryRequest
    library : Library
    rows : sequence of Encoded
        Each with a supervised token.
    into : Path, optional
        Folder to keep in what is read; the library's by default.
    told : callable
        Called with (rows read, rows to read) after every part; what it raises ends the pass, which a later call takes
        up at the last whole part.

    Raises
    ------
    InputError
        When the pair does not share vocabulary or token ids, or the original cannot be loaded.
    WarehouseError
        When what it says cannot be kept.
    """
    check_models(original, layout.name, device=str(layout.device), trust_remote_code=request.trust_remote_code)
    number, top = layout.precision, request.teacher_top
    found, folders = known(library, number, top)
    for folder in folders:
        touch(folder)
    wanted = {row_key(item): item for item in rows}
    missing = [item for key, item in wanted.items() if key not in found]
    if missing:
        cause = [library.original, SCORE_VERSION, str(number), layout.device.type, request.batch_tokens, top]
        folder = (into or library.folder) / digest([*cause, [row_key(item).hex() for item in missing]])
        model = load_language_model(original, layout.device, number, trust_remote_code=request.trust_remote_code)
        verify_head(model.model, model.head)
        parts = [missing[start : start + PART_ROWS] for start in range(0, len(missing), PART_ROWS)]
        about = {"facts": describe(model), "original": library.original}
        how = ScoreConfig(batch_tokens=request.batch_tokens, teacher_top=top)
        about = save_head(model, about, folder, how)
        keep = part_writer(model, lambda rows: rows, folder, how)
        for index, (part, done) in enumerate(zip(parts, accumulate(map(len, parts)), strict=True)):
            if not has_part(folder, index):
                keep(index, part, lambda _: None)
            told(done, len(missing))
        mark_complete(folder, about)
        del model, keep
        gc.collect()
        if layout.device.type == "cuda":
            torch.cuda.empty_cache()
        found, folders = row_locations(folder) | found, [*folders, folder]
    head = open_cache(folders[0], layout.device).head
    return Lessons(head, {key: found[key] for key in wanted}, top)
