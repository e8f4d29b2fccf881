"""Schemas of evaluations: items, results per item, and summaries.

The kinds are small versions of LLM-KICK's axes (arXiv 2310.01382), plus held-out rows and multiple choice. For every
kind a score is in [0, 1] and larger is better; perplexity and divergence have none, because they have no such scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import pyarrow as pa

from curate.schemas.corpus import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal[
    "rows",
    "choice",
    "continuation",
    "knowledge",
    "open-book",
    "reasoning",
    "instructions",
    "summary",
    "judged",
    "perplexity",
    "divergence",
    "lm-eval",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

FORCED: tuple[Kind, ...] = ("rows", "choice", "continuation", "perplexity", "divergence")
"""Kinds that read likelihoods of given texts only; for all others the model may generate an answer."""

REVISIONS: dict[Kind, int] = {"knowledge": 1, "open-book": 1, "reasoning": 1, "perplexity": 1}
"""How often the results of a kind have changed since version 0.1, raised by hand; none of the others has."""

OptionLayout = Literal["conversation", "cloze", "letter", "continuation"]
Normalise = Literal["none", "bytes", "unconditional"]

CLOSED_BOOK: tuple[Kind, ...] = ("knowledge", "choice")
"""Kinds that test knowledge without a source in the prompt."""

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
"""Items of a task. ``messages`` ends with the reference for ``rows`` and ``divergence``, with the question otherwise;
it is empty for a plain text. ``references`` are the accepted answers, the options (``choice``, ``continuation``; the
right one at ``answer``), the rules (``instructions``), the reference summary, or the text (``perplexity``,
``divergence``); ``chance`` is the expected score of guessing, in [0, 1)."""

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
        pa.field("divergence", pa.float64()),
    ]
)
"""Main table of an evaluation, one row per item in order, and one per window of a plain text. ``status`` is ``ok``,
``truncated`` (scored on the remaining tokens), ``no_response_tokens`` or ``template_error``; the figures of the last
two are null. Evaluations made before 0.1.0 was released may lack ``divergence``."""

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
        pa.field("divergence", pa.float64()),
        pa.field("divergence_low", pa.float64()),
        pa.field("divergence_high", pa.float64()),
    ]
)
"""Side table ``summary``: one row per task and group. ``score`` is a mean over items with its 95 % bootstrap interval,
``nll``, ``token_accuracy`` and ``divergence`` are means over tokens, the last with its interval over items."""


def results_version(kinds: Iterable[Kind]) -> int:
    """Return the version of the results of these kinds, part of the ids of evaluations and comparison cells; >= 1.

    A sum, so that it changes whichever kind changes.
    """
    return 1 + sum(REVISIONS.get(kind, 0) for kind in set(kinds))
