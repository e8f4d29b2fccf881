"""What an evaluation reads and writes: items to ask a model, and what became of each.

The kinds are LLM-KICK's axes in small (arXiv 2310.01382) beside held-out rows and multiple choice. A score lies in
[0, 1] and larger is better, whatever the kind; perplexity has none, since a likelihood is no share of anything.
"""

from __future__ import annotations

from typing import Literal, get_args

import pyarrow as pa

from curate.schemas.corpus import MESSAGES

Kind = Literal[
    "rows",
    "choice",
    "knowledge",
    "open-book",
    "reasoning",
    "instructions",
    "summary",
    "judged",
    "perplexity",
    "lm-eval",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

CLOSED_BOOK: tuple[Kind, ...] = ("knowledge", "choice")
"""Kinds that ask what a model knows by heart."""

ITEMS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("messages", MESSAGES, nullable=False),
        pa.field("references", pa.list_(pa.string()), nullable=False),
        pa.field("answer", pa.int32()),
        pa.field("chance", pa.float64(), nullable=False),
    ]
)
"""What is asked. ``messages`` ends with the reference for ``rows`` and with the question otherwise; ``references`` are
the accepted answers, the options (``choice``, the right one at place ``answer``), the rules (``instructions``), the
reference summary, or the text (``perplexity``); ``chance`` is what guessing scores, in [0, 1)."""

RESULTS = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("nll", pa.float64()),
        pa.field("token_accuracy", pa.float64()),
        pa.field("n_tokens", pa.int32(), nullable=False),
        pa.field("said", pa.string()),
        pa.field("chance", pa.float64(), nullable=False),
    ]
)
"""Main table of an evaluation, one row per item in the order asked. ``status`` is ``ok``, ``truncated`` (judged on what
was left), ``no_response_tokens`` or ``template_error``; the figures of the last two are null."""

SUMMARY = pa.schema(
    [
        pa.field("task", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("n_items", pa.int64(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("score_low", pa.float64()),
        pa.field("score_high", pa.float64()),
        pa.field("nll", pa.float64()),
        pa.field("token_accuracy", pa.float64()),
        pa.field("chance", pa.float64(), nullable=False),
    ]
)
"""Side table ``summary``: one row per task and group. ``score`` is a mean over items with its 95 % bootstrap interval,
``nll`` and ``token_accuracy`` are means over tokens."""
