"""Counting stage: the tokens of every row for the models' tokenizer and chat template, without running a model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.rendering import rendering_setting
from curate.schemas.errors import InputError
from curate.schemas.token_counts import TOKEN_COUNTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.schemas.artefacts import Manifest, Noun
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str) -> Recipe:
    """Return the recipe of the counts: the corpus, the tokenizer, the layout and the longest row.

    Weights are no part of it: all models with one tokenizer and context share the counts.
    """
    from curate.engines.models.checkpoints import resolve_model
    from curate.engines.models.loading import context_of

    folders = [resolve_model(model) for model in _models(settings)]
    contexts = [context_of(folder, trust_remote_code=settings.trust_remote_code) for folder in folders]
    inputs = {"corpus": corpus_id, "tokenizer": warehouse.digests.files(_tokenizer(folders))}
    how = {
        "template": settings.score.template,
        "max_length": min([settings.score.max_length, *(length for length in contexts if length is not None)]),
    }
    return Recipe("tokens", VERSION, inputs, how | rendering_setting(settings.score.template, *_models(settings)))


def check(warehouse: Warehouse, settings: Settings) -> None:
    """Load the tokenizer before the corpus is read; returns at once if the counts exist already.

    Raises
    ------
    InputError
        If a model is not there, has no usable tokenizer, or those of a pair differ.
    """
    from curate.flows.stages import corpus

    if recipe(warehouse, settings, corpus.recipe(warehouse, settings).id).exists_in(warehouse):
        return
    from curate.engines.tokens.counting import counter

    how, trust = settings.score, settings.trust_remote_code
    counter(_models(settings), how.template, how.max_length, trust_remote_code=trust)


def count(warehouse: Warehouse, settings: Settings, corpus_id: str) -> str:
    """Count the tokens of every row of the corpus, and return the tokens id."""
    plan = recipe(warehouse, settings, corpus_id)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        with progress.stage("count", warehouse.manifest("corpus", corpus_id).rows(), builder.rows("part")) as advance:
            digest = _write_parts(warehouse, settings, builder, corpus_id, advance)
        models = {"original": settings.original, "compressed": settings.compressed}
        builder.finish({"models": models, "template_digest": digest, **_totals(builder)})
    return plan.id


def _write_parts(
    warehouse: Warehouse, settings: Settings, builder: Builder, corpus_id: str, advance: Callable[[int], None]
) -> str:
    """Count the parts of the corpus that are not finished, and return the digest of the template."""
    from curate.engines.tokens.counting import ROWS_AT_ONCE, counter

    how = settings.score
    count_rows, digest = counter(
        _models(settings), how.template, how.max_length, trust_remote_code=settings.trust_remote_code
    )
    columns = ["example_id", "messages", "tools"]
    for index, batch in enumerate(warehouse.batches("corpus", corpus_id, columns=columns)):
        if builder.has("part", index):
            continue
        counted = []
        for start in range(0, len(batch), ROWS_AT_ONCE):
            counted.append(count_rows(batch.slice(start, ROWS_AT_ONCE)))
            advance(len(counted[-1]))
        builder.write("part", index, pa.Table.from_batches(counted, TOKEN_COUNTS), TOKEN_COUNTS)
    return digest


def counts_of(selection: Manifest) -> tuple[Noun, str] | None:
    """Return noun and id of what holds the token counts of a selection's corpus, None if nothing counted."""
    nouns: tuple[Noun, ...] = ("scores", "tokens")
    return next(((noun, selection.inputs[noun]) for noun in nouns if noun in selection.inputs), None)


def _models(settings: Settings) -> list[str]:
    """Return the models, the original first.

    Raises
    ------
    InputError
        If there is none.
    """
    models = [model for model in (settings.original, settings.compressed) if model is not None]
    if not models:
        raise InputError("no model was given whose tokenizer could count tokens; pass --compressed FOLDER")
    return models


def _tokenizer(folders: list[Path]) -> list[Path]:
    """Return the files of the tokenizer that counts: the compressed model's, or the original's if that has none."""
    from curate.engines.models.checkpoints import tokenizer_folder
    from curate.engines.models.tokenizer_files import tokenizer_files

    own = (tokenizer_folder(folder) for folder in reversed(folders))
    return next((tokenizer_files(folder) for folder in own if folder is not None), [])


def _totals(builder: Builder) -> dict[str, Any]:
    """Return the rows of each status, and the tokens of all."""
    statuses: Counter[str] = Counter()
    tokens = 0
    for index in range(builder.finished()):
        part = builder.read_part("part", index)
        statuses.update(part["status"].to_pylist())
        tokens += sum(int(part[name].to_numpy().sum()) for name in ("n_prompt_tokens", "n_response_tokens"))
    return {"statuses": dict(statuses), "n_tokens": tokens}
