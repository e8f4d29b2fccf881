"""Prepares the comparison on real data: rows, tokenizer, dense model and compressed models, cached in a work folder.

A second call reuses what the work folder holds. Interrupted training starts again.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from real_rows import TESTED, UNTESTED, read_file, split, write_rows
from real_training import train_model

from curate.engines.compress import CompressionRequest, compress
from curate.engines.models.devices import resolve_device
from curate.engines.pretrain import train_tokenizer
from curate.flows import progress
from curate.schemas.corpus import Turn
from curate.schemas.errors import UsageError
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from real_rows import QuestionAnswer, Split
    from real_sizes import ComparisonSize
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = 5
"""Special tokens of a question with its answer: beginning of text, two roles, two ends of turn."""


def prepare(work: Path, corpora: Path, size: ComparisonSize, device: str) -> dict[str, Any]:
    """Create the rows and the dense model where they are missing; return their metadata.

    Returns
    -------
    dict, JSON-able
        ``pool`` and ``tasks`` (see `real_rows.write_rows`); ``model``, the dense model's folder; ``rows``, counts by
        purpose; ``sources``, rows of the pool by source; ``training``, the result of `real_training.train_model`;
        ``causes``, the settings that all of it depends on.

    Raises
    ------
    UsageError
        When the work folder was prepared with other settings.
    """
    metadata_file, causes = work / "prepared.json", json.loads(json.dumps(_causes(size)))
    if metadata_file.is_file():
        prepared: dict[str, Any] = json.loads(metadata_file.read_text("utf-8"))
        if prepared["causes"] != causes:
            raise UsageError(f"{work} was prepared for another size; give another folder with --work DIR")
        return prepared
    texts = [f"{row.question}\n\n{row.answer}" for row in _training_files(corpora)]
    tokenizer = train_tokenizer(texts, size.model.vocabulary, size.model.positions)
    rows = split(corpora, size.rows, lambda rows: lengths(rows, tokenizer), size.model.positions, size.model.seed)
    progress.note(f"{len(rows.training):,} rows to train on, {len(rows.pool):,} of them to select from")
    model = work / "model"
    shutil.rmtree(model, ignore_errors=True)
    pairs = ([(row.question, row.answer) for row in part] for part in (rows.training, rows.validation))
    trained = train_model(
        *pairs, tokenizer, model, size.model, size.stopping, resolve_device(device), progress.note
    )  # fmt: skip
    prepared = {
        **write_rows(rows, work / "rows"), "model": str(model), "rows": _counts(rows), "training": trained,
        "sources": dict(sorted(Counter(row.source for row in rows.pool).items())), "causes": causes,
    }  # fmt: skip
    atomic.write_bytes(metadata_file, json.dumps(prepared, indent=2).encode())
    return prepared


def _causes(size: ComparisonSize) -> dict[str, Any]:
    return {name: asdict(getattr(size, name)) for name in ("model", "stopping", "rows")}


def _training_files(corpora: Path) -> list[QuestionAnswer]:
    names = [*UNTESTED, *(f"{name}_train" for name in TESTED)]
    return [row for name in names for row in read_file(corpora, name)]


def lengths(rows: Sequence[QuestionAnswer], tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Return the length of each question with its answer in tokens, special tokens included."""
    core = tokenizer.backend_tokenizer
    parts = ([one.ids for one in core.encode_batch(texts, add_special_tokens=False)]
             for texts in ([row.question for row in rows], [row.answer for row in rows]))  # fmt: skip
    return [len(a) + len(b) + SPECIAL_TOKENS for a, b in zip(*parts, strict=True)]


def _counts(rows: Split) -> dict[str, int]:
    sizes = {name: len(getattr(rows, name)) for name in ("training", "validation", "pool")}
    for name in ("tests", "facts"):
        sizes[name] = sum(map(len, getattr(rows, name).values()))
    return {**sizes, "too_long": rows.too_long}


def compress_dense(work: Path, prepared: dict[str, Any], name: str, arguments: dict[str, Any], device: str) -> Path:
    """Return the folder of the compressed dense model, calibrated on rows of the pool."""
    folder = work / "compressed" / name
    if not folder.exists():
        with open(prepared["pool"], encoding="utf-8") as stream:
            rows = [json.loads(line) for line in islice(stream, 1000)]
        turns = [(Turn("user", row["instruction"]), Turn("assistant", row["output"])) for row in rows]
        report = compress(prepared["model"], folder, CompressionRequest(**arguments, device=device), calibration=turns)
        progress.note(f"{name}: {report['sparsity']:.0%} zeros, layers removed {report['layers_removed']}")
    return folder
