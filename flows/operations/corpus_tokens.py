"""The tokens of a corpus before it is scored: counted on a sample of its rows, with the models' own chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

CHARACTERS_PER_TOKEN = 4.0
"""Of English text, where no model is given whose tokenizer could count."""
SAMPLE = 256
"""Rows that are counted; a smaller corpus is counted whole."""


def mean_row_tokens(warehouse: Warehouse, settings: Settings, read: Recipe) -> float | None:
    """Return the mean tokens of a row, after truncation; None for a corpus that is not ingested.

    A chat template adds dozens of tokens to a row, and a system prompt of its own some more, which no count of
    characters knows.
    """
    from curate.flows.stages.recovering.heldout import conversations

    if not read.exists_in(warehouse):
        return None
    lengths = _lengths(warehouse, read.id)
    if not len(lengths):
        return None
    models = [model for model in (settings.original, settings.compressed) if model is not None]
    how = settings.score
    if not models:
        return float(np.minimum(lengths / CHARACTERS_PER_TOKEN, how.max_length).mean())
    from curate.engines.tokens.counting import counter

    count, _ = counter(models, how.template, how.max_length, trust_remote_code=settings.trust_remote_code)
    rows = conversations(warehouse, read.id).take(spread(lengths, SAMPLE)).combine_chunks()
    counts = [count(part) for part in rows.to_batches()]
    tokens = [part[name].to_numpy() for part in counts for name in ("n_prompt_tokens", "n_response_tokens")]
    return float(sum(map(np.sum, tokens)) / rows.num_rows)


def spread(lengths: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the places of `count` rows, or of all, evenly spread over the order of their lengths.

    Their mean is that of the corpus more closely than a random sample's, since tokens follow lengths.
    """
    order = np.argsort(lengths, kind="stable")
    taken = min(count, len(order))
    places: NDArray[np.int64] = order[((np.arange(taken) + 0.5) * len(order) / taken).astype(np.int64)]
    return places


def _lengths(warehouse: Warehouse, corpus_id: str) -> NDArray[np.int64]:
    """Return the characters of every row."""
    import pyarrow.compute as pc

    text = warehouse.read("corpus", corpus_id, columns=["prompt", "response"])
    counted = [pc.fill_null(pc.utf8_length(text[name]), 0).to_numpy() for name in ("prompt", "response")]
    return np.asarray(counted[0] + counted[1], dtype=np.int64)
