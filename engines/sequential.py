"""One model in memory at a time: the original reads the corpus first and leaves its states, then the other is loaded.

What the original left serves every compressed model of it, on the same corpus with the same template and length.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from curate.engines.checkpoints import resolve_model
from curate.engines.describe import describe
from curate.engines.devices import pair_devices, resolve_dtype
from curate.engines.head import verify_head
from curate.engines.models import context_of, load_alone, load_tokenizer
from curate.engines.teacher import Teacher, is_remembered, recall, remember
from curate.engines.templates import Template
from curate.schemas.artefacts import digest
from curate.schemas.scores import SCORE_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import pyarrow as pa

    from curate.engines.score import ScoreConfig


@dataclass(frozen=True)
class Original:
    """Which original is to be read, how, and what makes its states what they are."""

    name: str
    """Folder or hub name."""
    compressed: str
    """The model it will be compared with, whose tokenizer is used where it has one."""
    causes: dict[str, str]
    """Digests of the model's files and of the conversations, JSON-able."""
    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False


def read_original(
    batches: Callable[[], Iterable[pa.RecordBatch]],
    original: Original,
    config: ScoreConfig,
    cache: Path,
    progress: Callable[[int], None],
) -> tuple[Teacher, ScoreConfig]:
    """Return what the original left in `cache`, after reading the corpus with it unless that was done before.

    Parameters
    ----------
    batches : callable
        Gives every batch of conversations, from the first.
    original : Original
    config : ScoreConfig
    cache : Path
        Folder of all that originals left.
    progress : callable
        Called with the number of rows finished since the last call.

    Returns
    -------
    (Teacher, ScoreConfig)
        The settings with the length capped by both models' contexts, for scoring with the other model.

    Raises
    ------
    InputError, WarehouseError
        As `models.load_pair` and `teacher.remember`.
    """
    place, other_place = pair_devices(original.device)
    number = resolve_dtype(original.dtype, place)
    template, config = _template(original, config)
    causes = [original.causes, template.digest(), SCORE_VERSION, str(number), place.type]
    folder = cache / digest([*causes, config.batch_tokens, config.chunk_tokens, config.layers, config.teacher_top])
    if not is_remembered(folder):
        model = load_alone(original.name, place, number, trust_remote_code=original.trust_remote_code)
        verify_head(model.model, model.head)
        remember(batches(), model, template, describe(model), folder, config, progress)
        del model
        gc.collect()
        if place.type == "cuda":
            torch.cuda.empty_cache()
    return recall(folder, other_place), config


def _template(original: Original, config: ScoreConfig) -> tuple[Template, ScoreConfig]:
    """Return the template that a pair of both models would use, and the settings with its length."""
    folders = [resolve_model(name) for name in (original.compressed, original.name)]
    tokenizer = load_tokenizer(*folders, trust_remote_code=original.trust_remote_code)
    found = [context_of(folder, trust_remote_code=original.trust_remote_code) for folder in folders]
    length = min([config.max_length, *(context for context in found if context is not None)])
    return Template(tokenizer, config.template, length), replace(config, max_length=length)
