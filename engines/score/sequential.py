"""One model in memory at a time: the original reads the corpus first and leaves its states, then the other is loaded.

What the original left serves every compressed model of it, on the same corpus with the same template and length.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.models.checkpoints import resolve_model
from curate.engines.models.description import describe
from curate.engines.models.devices import pair_devices, resolve_dtype
from curate.engines.models.loading import context_of, load_alone
from curate.engines.models.output_head import verify_head
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.score.original_cache import complete, is_kept, is_remembered, keep_head, note_use, part_keeper
from curate.engines.score.response_states import encode_rows
from curate.engines.tokens.templates import Template
from curate.engines.workers.pool import at_work
from curate.schemas.artefacts import digest
from curate.schemas.scores import SCORE_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from curate.engines.score.config import ScoreConfig
    from curate.engines.score.original_cache import KeepPart
    from curate.engines.workers.pool import Progress
    from curate.engines.workers.process import Part


@dataclass(frozen=True)
class Original:
    """Which original is to be read, how, and what makes its states what they are."""

    name: str
    """Folder or hub name."""
    compressed: str
    """The model it will be compared with, whose tokenizer is used where it has one."""
    causes: dict[str, str]
    """Digests of the model's files (``original``) and of the conversations, JSON-able."""
    dtype: str = "auto"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Reading:
    """Reads parts with an original model and leaves its states; a `parallel.Task`."""

    original: Original
    config: ScoreConfig
    folder: Path

    def open(self, device: str) -> tuple[dict[str, Any], KeepPart[pa.RecordBatch]]:
        """Load the original, keep its output layer, and return what `teacher.complete` takes, and what reads a part.

        Raises
        ------
        InputError, WarehouseError
            As `models.load_pair` and `teacher.keep_head`.
        """
        original, place = self.original, pair_devices(device)[0]
        number = resolve_dtype(original.dtype, place)
        model = load_alone(original.name, place, number, trust_remote_code=original.trust_remote_code)
        verify_head(model.model, model.head)
        template, config = _template(original, self.config)
        told = {"facts": describe(model), "original": original.causes["original"]}
        told = keep_head(model, told, self.folder, config)
        return told, part_keeper(model, lambda rows: encode_rows(rows, template), self.folder, config)


def read_original(
    parts: Callable[[], Iterable[Part]],
    original: Original,
    config: ScoreConfig,
    cache: Path,
    devices: Sequence[str],
    threads: int,
    progress: Progress,
) -> tuple[Path, ScoreConfig]:
    """Return the folder in `cache` of what the original left, after reading the corpus unless that was done before.

    Parameters
    ----------
    parts : callable
        Gives number and conversations of every part.
    original : Original
    config : ScoreConfig
    cache : Path
        Folder of all that originals left.
    devices : sequence of str
        One for each process that reads; see `parallel.at_work`.
    threads : int
        CPU threads of them all together.
    progress : callable
        Called with the number of rows finished since the last call.

    Returns
    -------
    (Path, ScoreConfig)
        The settings with the length capped by both models' contexts, for scoring with the other model.

    Raises
    ------
    CurateError
        As `Reading.open` and `parallel.Workers.run`.
    """
    place, _ = pair_devices(devices[0])
    number = resolve_dtype(original.dtype, place)
    template, config = _template(original, config)
    causes = [original.causes, template.digest(), SCORE_VERSION, str(number), place.type]
    folder = cache / digest([*causes, config.batch_tokens, config.chunk_tokens, config.layers, config.teacher_top])
    if is_remembered(folder):
        note_use(folder)
    else:
        with at_work(Reading(original, config, folder), devices, threads) as hands:
            for _ in hands.run(_missing(parts(), folder, progress), progress):
                pass
        complete(folder, hands.facts)
        gc.collect()
        if place.type == "cuda":
            torch.cuda.empty_cache()
    return folder, config


def _missing(parts: Iterable[Part], folder: Path, progress: Progress) -> Iterator[Part]:
    """Yield the parts that are not kept in `folder` yet, and count the rows of the others as done."""
    for index, batch in parts:
        if is_kept(folder, index):
            progress(batch.num_rows)
        else:
            yield index, batch


def _template(original: Original, config: ScoreConfig) -> tuple[Template, ScoreConfig]:
    """Return the template that a pair of both models would use, and the settings with its length."""
    folders = [resolve_model(name) for name in (original.compressed, original.name)]
    tokenizer = load_tokenizer(*folders, trust_remote_code=original.trust_remote_code)
    found = [context_of(folder, trust_remote_code=original.trust_remote_code) for folder in folders]
    length = min([config.max_length, *(context for context in found if context is not None)])
    return Template(tokenizer, config.template, length), replace(config, max_length=length)
