"""Schemas of a targets artefact: answers that a model gave to selected rows, and which of them was accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from curate.schemas.corpus import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class SolvedSignal:
    """A signal of a row that is read from samples."""

    models: tuple[str, ...]
    """Models of the pair that drew them."""
    about: str


SOLVED = {
    "solved_original": SolvedSignal(
        ("original",), "share of the original's samples that are right, of those compared, [0, 1]"
    ),
    "solved_compressed": SolvedSignal(
        ("compressed",), "share of the compressed model's samples that are right, of those compared, [0, 1]"
    ),
    "solved_gap": SolvedSignal(
        ("original", "compressed"), "solved_original less solved_compressed, [-1, 1], larger = more degraded"
    ),
}
"""Signals for the method ``by-signal`` that `curate sample` makes possible: no scores hold them."""

TARGETS = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("n_tokens", pa.int32(), nullable=False),
        pa.field("mean_logp", pa.float64(), nullable=False),
        pa.field("passed", pa.bool_()),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("accepted", pa.bool_(), nullable=False),
        pa.field("stopped_early", pa.bool_(), nullable=False),
        pa.field("contaminated_by", pa.string()),
    ]
)
"""Main table: one row per drawn sample, rows of the selection in the order of their ranks, samples by number; with
``--accept likelihood`` and ``selfeval`` the rows that these are calibrated on come first."""

TARGETS_ABOUT: dict[str, str] = {
    "number": "number of the sample, from 1; the first is the most likely answer, later ones are drawn at random",
    "text": "the answer, without control tokens and outer white space",
    "n_tokens": "tokens drawn, >= 1, the token that ended the answer included",
    "mean_logp": "mean over these tokens of log p under the model, in nats, <= 0, larger = more likely",
    "passed": "true if the answer equals the corpus's; null if it was not compared: with agreement, and with "
    "likelihood and selfeval where the corpus's answer is long, and for every sample that --prune-at stopped",
    "score": "1 or 0 as passed where compared; else by agreement the share of the row's samples with the same normal "
    "form, by likelihood the probability of the answer, by selfeval the predicted probability that it is right; "
    "[0, 1], 0 if stopped early",
    "accepted": "true for the sample that is the row's target; at most one for each row",
    "stopped_early": "true if --max-new-tokens or the model's context cut the answer off, or --prune-at stopped it (at "
    "that many tokens); it is never accepted",
    "contaminated_by": "id of the evaluation item whose question the answer contains, which would have been accepted; "
    "its row has no target; null otherwise",
}

TARGETS_SUMMARY = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("n_drawn", pa.int32(), nullable=False),
        pa.field("solved", pa.bool_(), nullable=False),
        pa.field("accepted_number", pa.int32()),
    ]
)
"""Side table ``summary``: one row for every row of the selection, first taken first."""

TARGETS_SUMMARY_ABOUT: dict[str, str] = {
    "n_drawn": "samples drawn, those stopped early included, >= 0; 0 if the row cannot be asked: its last turn is no "
    "answer, or its prompt too long",
    "solved": "true if a sample was accepted",
    "accepted_number": "number of the accepted sample, from 1; null if none was",
}

STATES = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("mean_entropy", pa.float64(), nullable=False),
        pa.field("state", pa.list_(pa.float32()), nullable=False),
    ]
)
"""Side table ``states``, with ``--accept selfeval`` alone: what the self-evaluation is fitted on, one row per sample of
a row that it is calibrated on. ``mean_entropy`` is in nats; ``state`` is the final hidden state of the last token."""

CALIBRATED = pa.schema([*TARGETS, *(field for field in STATES if field.name not in TARGETS.names)])
"""Samples with both, as a worker returns them."""


def conversations_with(turns: Sequence[Turn], text: str | None, keep_reference: str) -> list[tuple[Turn, ...]]:
    """Return what is trained on in place of a row: with its target, the row itself, both or neither.

    Parameters
    ----------
    turns : sequence of Turn
        Of the row; the last is the corpus's answer.
    text : str or None
        Its target, where it has one.
    keep_reference : str
        When the corpus's answer stays: ``on-miss``, ``never`` or ``always``.
    """
    same = text is not None and text == turns[-1].content
    exchanged = [] if text is None or same else [(*turns[:-1], Turn("assistant", text))]
    stays = same or keep_reference == "always" or (text is None and keep_reference == "on-miss")
    return [*exchanged, *([tuple(turns)] if stays else [])]
