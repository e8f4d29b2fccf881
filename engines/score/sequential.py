"""Scoring with one model in memory at a time: the original's predictions are cached before the other model is loaded.

The cache serves every compressed model of the same original, on the same corpus with the same template and length.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.models.description import describe
from curate.engines.models.devices import pair_devices, resolve_dtype
from curate.engines.models.loading import load_language_model
from curate.engines.models.output_head import verify_head
from curate.engines.score.original_cache import has_part, is_complete, mark_complete, part_writer, save_head, touch
from curate.engines.score.response_states import encode_rows
from curate.engines.tokens.shared_template import shared_template
from curate.engines.workers.pool import open_pool
from curate.schemas.artefacts import digest
from curate.schemas.scores import SCORE_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from curate.engines.score.config import ScoreConfig
    from curate.engines.score.original_cache import WritePart
    from curate.engines.tokens.templates import Template
    from curate.engines.workers.pool import Progress
    from curate.engines.workers.process import IndexedBatch


@dataclass(frozen=True)
class OriginalSpec:
    """The original whose predictions are cached, and the inputs that they depend on."""

    name: str
    """Folder or hub name."""
    compressed: str
    """The model that it will be compared with, whose tokenizer takes precedence."""
    causes: dict[str, str]
    """Digests of the model's files (``original``) and of the conversations, JSON-able."""
    dtype: str = "auto"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class CacheTask:
    """Caches the original's predictions for parts; a `curate.engines.workers.pool.PartTask`."""

    original: OriginalSpec
    config: ScoreConfig
    folder: Path

    def open(self, device: str) -> tuple[dict[str, Any], WritePart[pa.RecordBatch]]:
        """Load the original and store its output head; return the cache's metadata and the function for a part.

        Raises
        ------
        InputError, WarehouseError
            As `curate.engines.models.loading.load_pair` and `original_cache.save_head`.
        """
        original, first_device = self.original, pair_devices(device)[0]
        dtype = resolve_dtype(original.dtype, first_device)
        model = load_language_model(original.name, first_device, dtype, trust_remote_code=original.trust_remote_code)
        verify_head(model.model, model.head)
        template, config = _template(original, self.config)
        metadata = {"facts": describe(model), "original": original.causes["original"]}
        metadata = save_head(model, metadata, self.folder, config)
        return metadata, part_writer(model, lambda rows: encode_rows(rows, template), self.folder, config)


def cache_original(
    parts: Callable[[], Iterable[IndexedBatch]],
    original: OriginalSpec,
    config: ScoreConfig,
    cache: Path,
    devices: Sequence[str],
    threads: int,
    progress: Progress,
) -> tuple[Path, ScoreConfig]:
    """Return the folder in `cache` with the original's predictions, computing those that are missing.

    Parameters
    ----------
    parts : callable
        Returns index and conversations of every part.
    original : OriginalSpec
    config : ScoreConfig
    cache : Path
        Folder of the caches of all originals.
    devices : sequence of str
        One per process; see `curate.engines.workers.pool`.
    threads : int
        CPU threads of all processes together.
    progress : callable
        Called with the number of rows finished since the last call.

    Returns
    -------
    (Path, ScoreConfig)
        The folder, and the settings with the length capped by both models' contexts, for scoring with the other model.

    Raises
    ------
    CurateError
        As `CacheTask.open` and the worker pool.
    """
    first_device, _ = pair_devices(devices[0])
    dtype = resolve_dtype(original.dtype, first_device)
    template, config = _template(original, config)
    # Everything that changes a bit of the predictions: batches of another size round differently.
    causes = [original.causes, template.digest(), SCORE_VERSION, str(dtype), first_device.type]
    folder = cache / digest([*causes, config.batch_tokens, config.chunk_tokens, config.layers, config.teacher_top])
    if is_complete(folder):
        touch(folder)
        return folder, config
    with open_pool(CacheTask(original, config, folder), devices, threads) as pool:
        for _ in pool.run(_missing(parts(), folder, progress), progress):
            pass
    mark_complete(folder, pool.facts)
    # The original's memory has to be free before the other model is loaded.
    gc.collect()
    if first_device.type == "cuda":
        torch.cuda.empty_cache()
    return folder, config


def _missing(parts: Iterable[IndexedBatch], folder: Path, progress: Progress) -> Iterator[IndexedBatch]:
    """Yield the parts that are not in `folder` yet, and count the rows of the others as finished."""
    for index, batch in parts:
        if has_part(folder, index):
            progress(batch.num_rows)
        else:
            yield index, batch


def _template(original: OriginalSpec, config: ScoreConfig) -> tuple[Template, ScoreConfig]:
    """Return the template that a pair of both models would use, and the settings with its length."""
    template = shared_template(
        original.compressed, original.name, config.template, config.max_length,
        trust_remote_code=original.trust_remote_code,
    )  # fmt: skip
    return template, replace(config, max_length=template.max_length)
