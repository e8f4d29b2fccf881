"""Views over evaluations; part of the public tables of `curate.storage.catalog.views`."""

from __future__ import annotations

from curate.schemas.evaluation import RESULTS, SUMMARY
from curate.storage.catalog.columns import View, columns_of

_EVALUATION = ("evaluation_id", "id of the evaluation artefact")
_TASK = {
    "task": "name of the task: its kind and file, or demo",
    "kind": "rows, choice, knowledge, open-book, reasoning, instructions, summary, judged, perplexity, "
    "divergence or lm-eval",
    "group": "capability, cluster or subject within the task; the task itself where it has none",
}

EVALUATION_VIEWS: tuple[View, ...] = (
    View(
        "evaluation_items",
        "One row per evaluation item, and per window of a plain text: the result of the model on it.",
        "evaluation",
        "part",
        columns_of(
            RESULTS,
            _EVALUATION,
            {
                **_TASK,
                "item_id": "digest of the question and the accepted answers; for rows, of the conversation",
                "status": "ok, truncated, no_response_tokens or template_error; metrics of the last two are null",
                "score": "[0, 1], larger = better; defined per kind (docs/evaluation.md)",
                "nll": "negative log-likelihood of the reference, the correct option or the text, in nats per token; "
                ">= 0, smaller = better",
                "token_accuracy": "share of those tokens that the model ranks first, [0, 1], larger = better",
                "n_tokens": "number of tokens that nll averages; tokens of the answer where nll is null",
                "said": "generated answer, or chosen option; null for rows and texts",
                "chance": "expected score of random guessing, [0, 1)",
                "divergence": "KL(original || model) in nats, mean over the item's n_tokens tokens, >= 0, "
                "smaller = closer to the original; null but for divergence tasks",
            },
        ),
    ),
    View(
        "evaluation_summary",
        "One row per task and group of an evaluation.",
        "evaluation",
        "summary",
        columns_of(
            SUMMARY,
            _EVALUATION,
            {
                **_TASK,
                "n_items": "number of items in the mean",
                "score": "mean score, [0, 1], larger = better; null where the kind has no score",
                "score_low": "lower bound of its 95 % bootstrap interval over items",
                "score_high": "upper bound of its 95 % bootstrap interval over items",
                "nll": "negative log-likelihood in nats per token, mean over tokens, >= 0, smaller = better",
                "token_accuracy": "mean over tokens, [0, 1], larger = better",
                "chance": "mean expected score of random guessing, [0, 1)",
                "divergence": "KL(original || model) in nats per token, mean over tokens, >= 0, "
                "smaller = closer to the original; null but for divergence tasks",
                "divergence_low": "lower bound of its 95 % bootstrap interval over items",
                "divergence_high": "upper bound of its 95 % bootstrap interval over items",
            },
        ),
    ),
)
