"""The views over evaluations, a part of the contract of `curate.storage.catalog.views`."""

from __future__ import annotations

from curate.schemas.evaluation import RESULTS, SUMMARY
from curate.storage.catalog.columns import View, columns_of

_EVALUATION = ("evaluation_id", "id of the evaluation artefact")
_TASK = {
    "task": "name of the task: its kind and file, or demo",
    "kind": "rows, choice, knowledge, open-book, reasoning, instructions, summary, judged, perplexity or lm-eval",
    "group": "capability, cluster or subject within the task; the task itself where it has none",
}

EVALUATION_VIEWS: tuple[View, ...] = (
    View(
        "evaluation_items",
        "What a model made of every item that it was asked.",
        "evaluation",
        "part",
        columns_of(
            RESULTS,
            _EVALUATION,
            {
                **_TASK,
                "item_id": "digest of what is asked and of what is accepted; of the conversation, for rows",
                "status": "ok, truncated, no_response_tokens or template_error; figures of the last two are null",
                "score": "[0, 1], larger = better; what it means depends on the kind (docs/evaluation.md)",
                "nll": "nats per token of the reference, the right option or the text; >= 0, smaller = better",
                "token_accuracy": "share of its tokens that are the model's most likely ones, [0, 1], larger = better",
                "n_tokens": "tokens that nll is a mean of, or tokens of the answer where there is none",
                "said": "the answer that was generated, or the option that was chosen; null for rows and texts",
                "chance": "what guessing would score, [0, 1)",
            },
        ),
    ),
    View(
        "evaluation_summary",
        "One row per task and group of every evaluation.",
        "evaluation",
        "summary",
        columns_of(
            SUMMARY,
            _EVALUATION,
            {
                **_TASK,
                "n_items": "items that count",
                "score": "mean score, [0, 1], larger = better; null where the kind has none",
                "score_low": "lower end of its 95 % bootstrap interval over items",
                "score_high": "upper end of it",
                "nll": "nats per token, mean over tokens, >= 0, smaller = better",
                "token_accuracy": "mean over tokens, [0, 1], larger = better",
                "chance": "mean of what guessing would score, [0, 1)",
            },
        ),
    ),
)
