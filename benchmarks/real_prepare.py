"""What stands before the grid of the trial on real data: rows, tokenizer, dense model and compressed models, kept.

Each is made once in the work folder; a second call finds it there. Training that was killed begins anew.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from real_model import train_model
from real_rows import TESTED, UNTESTED, read_file, split, write_rows

from curate.engines.compress import compress
from curate.engines.models.devices import resolve_device
from curate.engines.pretrain import train_tokenizer
from curate.flows import progress
from curate.schemas.corpus import Turn
from curate.schemas.errors import UsageError
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from real_rows import Row, Split
    from real_sizes import Size
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = 5
"""Of a question with its answer: the beginning, two roles, two ends of turn."""


def prepared(work: Path, corpora: Path, size: Size, device: str) -> dict[str, Any]:
    """Return what is known of rows and models, which are made now where they are not there yet.

    Returns
    -------
    dict, JSON-able
        ``pool`` and ``tasks`` (see `real_rows.write_rows`); ``model``, the dense model's folder; ``rows``, how many
        of each kind; ``sources``, how many of each are in the pool; ``training``, of `real_model.train_model`;
        ``causes``, what all that was made from.

    Raises
    ------
    UsageError
        When the work folder holds another trial.
    """
    facts, causes = work / "prepared.json", json.loads(json.dumps(_causes(size)))
    if facts.is_file():
        known: dict[str, Any] = json.loads(facts.read_text("utf-8"))
        if known["causes"] != causes:
            raise UsageError(f"{work} holds a trial of another size; give another folder with --work DIR")
        return known
    texts = [f"{row.question}\n\n{row.answer}" for row in _training_files(corpora)]
    tokenizer = train_tokenizer(texts, size.model.vocabulary, size.model.positions)
    found = split(corpora, size.rows, lambda rows: lengths(rows, tokenizer), size.model.positions, size.model.seed)
    progress.note(f"{len(found.training):,} rows to train on, {len(found.pool):,} of them to select from")
    model = work / "model"
    shutil.rmtree(model, ignore_errors=True)
    pairs = ([(row.question, row.answer) for row in rows] for rows in (found.training, found.validation))
    trained = train_model(
        *pairs, tokenizer, model, size.model, size.stopping, resolve_device(device), progress.note
    )  # fmt: skip
    known = {
        **write_rows(found, work / "rows"), "model": str(model), "rows": _counts(found), "training": trained,
        "sources": dict(sorted(Counter(row.source for row in found.pool).items())), "causes": causes,
    }  # fmt: skip
    atomic.write_bytes(facts, json.dumps(known, indent=2).encode())
    return known


def _causes(size: Size) -> dict[str, Any]:
    return {name: asdict(getattr(size, name)) for name in ("model", "stopping", "rows")}


def _training_files(corpora: Path) -> list[Row]:
    names = [*UNTESTED, *(f"{name}_train" for name in TESTED)]
    return [row for name in names for row in read_file(corpora, name)]


def lengths(rows: Sequence[Row], tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Return how many tokens each question with its answer is, as it is trained on."""
    core = tokenizer.backend_tokenizer
    parts = ([one.ids for one in core.encode_batch(texts, add_special_tokens=False)]
             for texts in ([row.question for row in rows], [row.answer for row in rows]))  # fmt: skip
    return [len(a) + len(b) + SPECIAL_TOKENS for a, b in zip(*parts, strict=True)]


def _counts(found: Split) -> dict[str, int]:
    sizes = {name: len(getattr(found, name)) for name in ("training", "validation", "pool")}
    for name in ("tests", "facts"):
        sizes[name] = sum(len(rows) for rows in getattr(found, name).values())
    return {**sizes, "too_long": found.too_long}


def compressed(work: Path, known: dict[str, Any], name: str, how: dict[str, Any], device: str) -> Path:
    """Return the folder of the dense model compressed; calibration rows are drawn from the pool."""
    folder = work / "compressed" / name
    if not folder.exists():
        with open(known["pool"], encoding="utf-8") as stream:
            rows = [json.loads(line) for line in islice(stream, 1000)]
        turns = [(Turn("user", row["instruction"]), Turn("assistant", row["output"])) for row in rows]
        told = compress(known["model"], folder, calibration=turns, device=device, **how)
        progress.note(f"{name}: {told['sparsity']:.0%} zeros, layers removed {told['layers_removed']}")
    return folder
