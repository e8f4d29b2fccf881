"""The original model's predictions of the training rows: looked up in a cache on disk, or computed once.

The original is in memory for that one pass, before the model in training is loaded, and not during training. The files
have the format of `curate.engines.score.original_cache`, whose rows are keyed by their tokens: predictions made by
scoring or by an earlier recovery are reused for the same tokens and mask of the same original, whatever the corpus.
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
from curate.engines.models.finite_weights import require_finite
from curate.engines.models.loading import load_language_model
from curate.engines.models.output_head import verify_head
from curate.engines.models.preflight import check_models
from curate.engines.recover.observer import SILENT, Interrupted, Observer
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
    from collections.abc import Mapping, Sequence

    from curate.engines.models.loading import LanguageModel
    from curate.engines.models.output_head import OutputHead
    from curate.engines.recover.prepare import RecoverySetup
    from curate.engines.score.original_cache import RowLocation
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest

PART_ROWS = 256
"""Rows per file: the most that is computed again after an interruption."""


@dataclass(frozen=True)
class PredictionCache:
    """Where predictions of an original are stored."""

    folder: Path
    """Has one subfolder for each pass over rows; the warehouse's ``cache/teachers``, or one of the recovery's own."""
    original: str
    """Digest of the original's files, as scoring writes it."""

    @classmethod
    def from_json(cls, values: Mapping[str, str]) -> PredictionCache:
        """Return the cache that the key ``library`` of a job describes."""
        return cls(Path(values["folder"]), values["original"])

    @classmethod
    def in_work_folder(cls, work: Path, original: str) -> PredictionCache:
        """Return a cache in the work folder of a recovery, for an original of which only the name is known."""
        # By size and modification time: reading the weights to digest them may take as long as the pass itself.
        files = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in model_files(original)]
        return cls(work / "teachers", digest(files))

    def matches(self, dtype: torch.dtype, top: int | None) -> tuple[dict[bytes, RowLocation], list[Path]]:
        """Return the rows stored for this original, dtype and `top`, by key, and their folders, the oldest first.

        A row that is stored several times is taken from the oldest folder, so that a resumed run uses the numbers that
        it began with.
        """
        rows: dict[bytes, RowLocation] = {}
        matching = []
        complete = [folder for folder in self.folder.glob("[!.]*") if is_complete(folder)]
        # Caches of early versions have no time of completion and sort first, by name.
        described = sorted(
            ((read_metadata(one), one) for one in complete), key=lambda pair: (pair[0]["made"], pair[1].name)
        )
        for metadata, folder in described:
            same_dtype = metadata["facts"]["dtype"] == str(dtype).removeprefix("torch.")
            if metadata.get("original") == self.original and metadata["top"] == top and same_dtype:
                matching.append(folder)
                rows = row_locations(folder) | rows
        return rows, matching


@dataclass(eq=False)
class OriginalPredictions:
    """The original's predictions of the training rows, read from disk batch by batch."""

    head: OutputHead
    """The original's output head."""
    locations: Mapping[bytes, RowLocation]
    """By `curate.engines.score.original_cache.row_key`."""
    top: int | None
    """Most likely tokens kept per prediction; None if the hidden states themselves are."""
    _open: dict[Path, Any] = field(default_factory=dict)

    def lookup(self, rows: Sequence[Encoded]) -> ResponseStates | TopKPredictions:
        """Return the predictions of the supervised tokens of `rows`, row after row, on the head's device."""
        tokens = [self._read(self.locations[row_key(item)]) for item in rows]
        device = self.head.weight.device
        columns = {name: torch.cat([one[name] for one in tokens]).to(device) for name in tokens[0]}
        return ResponseStates(self.head, columns["states"]) if self.top is None else TopKPredictions(**columns)

    def bytes_per_token(self) -> float:
        """Return the bytes that one supervised token takes on disk."""
        location = next(iter(self.locations.values()))
        tokens = max(1, location.stop - location.start)
        return sum(one.numel() * one.element_size() for one in self._read(location).values()) / tokens

    def _read(self, location: RowLocation) -> dict[str, torch.Tensor]:
        if location.path not in self._open:
            self._open[location.path] = safe_open(location.path, framework="pt")
        part = self._open[location.path]
        names = ("states",) if self.top is None else ("ids", "log_p", "tail", "nll")
        return {name: part.get_slice(name)[location.start : location.stop] for name in names}


def predict_rows(
    setup: RecoverySetup,
    original: str,
    request: RecoveryRequest,
    cache: PredictionCache,
    rows: Sequence[Encoded],
    *,
    new_folder: Path | None = None,
    observer: Observer = SILENT,
) -> OriginalPredictions:
    """Return the original's predictions of `rows`; those that the cache lacks are computed and stored.

    Parameters
    ----------
    setup : RecoverySetup
    original : str
        Folder or hub name.
    request : RecoveryRequest
    cache : PredictionCache
    rows : sequence of Encoded
        Each with a supervised token.
    new_folder : Path, optional
        Where new predictions are stored; the cache's folder by default.
    observer : Observer
        `on_rows_read` and `should_stop` are called after every part.

    Raises
    ------
    InputError
        When the pair does not share vocabulary or token ids, or the original cannot be loaded.
    WarehouseError
        When predictions cannot be stored.
    Interrupted
        When the observer requested it; the same call resumes after the last complete part.
    """
    check_models(original, setup.name, device=str(setup.device), trust_remote_code=request.trust_remote_code)
    stored, folders = cache.matches(setup.precision, request.teacher_top)
    for folder in folders:
        touch(folder)
    wanted = {row_key(item): item for item in rows}
    missing = [item for key, item in wanted.items() if key not in stored]
    if missing:
        folder = (new_folder or cache.folder) / _folder_name(setup, request, cache, missing)
        model = load_language_model(
            original, setup.device, setup.precision, trust_remote_code=request.trust_remote_code
        )
        require_finite(model.model, original)
        _compute(model, missing, folder, request, cache.original, observer)
        # The original must be gone before the model in training is loaded.
        del model
        gc.collect()
        if setup.device.type == "cuda":
            torch.cuda.empty_cache()
        stored, folders = row_locations(folder) | stored, [*folders, folder]
    head = open_cache(folders[0], setup.device).head
    return OriginalPredictions(head, {key: stored[key] for key in wanted}, request.teacher_top)


def _folder_name(
    setup: RecoverySetup, request: RecoveryRequest, cache: PredictionCache, missing: Sequence[Encoded]
) -> str:
    """Return a digest of everything that decides the numbers, so that an interrupted pass resumes in its own folder."""
    settings = [str(setup.precision), setup.device.type, request.batch_tokens, request.teacher_top]
    return digest([cache.original, SCORE_VERSION, *settings, [row_key(item).hex() for item in missing]])


def _compute(
    model: LanguageModel,
    rows: Sequence[Encoded],
    folder: Path,
    request: RecoveryRequest,
    original_digest: str,
    observer: Observer,
) -> None:
    """Store the model's predictions of `rows` in `folder`, part by part."""
    verify_head(model.model, model.head)
    config = ScoreConfig(batch_tokens=request.batch_tokens, teacher_top=request.teacher_top)
    metadata = save_head(model, {"facts": describe(model), "original": original_digest}, folder, config)
    write_part = part_writer(model, lambda rows: rows, folder, config)
    parts = [rows[start : start + PART_ROWS] for start in range(0, len(rows), PART_ROWS)]
    for index, (part, done) in enumerate(zip(parts, accumulate(map(len, parts)), strict=True)):
        if not has_part(folder, index):
            write_part(index, part, lambda _: None)
        observer.on_rows_read(done, len(rows))
        # Not after the last part: the folder is marked complete first.
        if done < len(rows) and observer.should_stop():
            raise Interrupted(
                f"stopped at row {done} of {len(rows)} of the original; run the same command again to resume"
            )
    mark_complete(folder, metadata)
