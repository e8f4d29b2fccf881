"""Conversations in the vocabulary of the tiny models, and their scores as rows."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from models import WORDS

from curate.engines.score.config import ScoreConfig
from curate.engines.score.scorer import score
from curate.schemas.corpus import MESSAGES
from curate.schemas.scores import SCORES

if TYPE_CHECKING:
    from curate.engines.models.loading import Pair


def conversations(rows: int = 12, seed: int = 0) -> pa.RecordBatch:
    """Return conversations of one or two exchanges and mixed lengths."""
    draw = random.Random(seed)

    def message(role: str, most: int) -> dict[str, object]:
        return {"role": role, "content": " ".join(draw.choices(WORDS, k=draw.randint(1, most))), "tool_call": False}

    messages = [
        [message(role, 9) for _ in range(draw.randint(1, 2)) for role in ("user", "assistant")] for _ in range(rows)
    ]
    ids = [f"{row:020x}" for row in range(rows)]
    return pa.RecordBatch.from_arrays([pa.array(ids), pa.array(messages, MESSAGES)], ["example_id", "messages"])


def scored(pair: Pair, batch: pa.RecordBatch, **settings: Any) -> list[dict[str, Any]]:
    """Return the scores of `batch`, one dictionary per row; `settings` as of `ScoreConfig`."""
    (result,) = score([batch], pair, ScoreConfig(**settings))
    assert result.schema.equals(SCORES)
    rows: list[dict[str, Any]] = result.to_pylist()
    return rows
