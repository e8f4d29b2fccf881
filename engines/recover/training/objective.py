"""What a step minimises: the loss of a batch, which tokens of the step it counts, and the weights of groups of rows."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from curate.engines.recover.training.distillation import batch_loss
from curate.engines.recover.training.loss import response_loss
from curate.engines.recover.training.token_choice import TokenChoice, largest
from curate.engines.tokens.batching import token_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from curate.engines.recover.prepare import LoadedSetup
    from curate.engines.recover.training.elastic_widths import ElasticWidths
    from curate.engines.recover.training.group_weights import GroupWeights
    from curate.engines.recover.training.original_predictions import OriginalPredictions
    from curate.engines.recover.training.processes import ProcessGroup
    from curate.engines.recover.training.rows import BatchLoss
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryRequest


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a batch, and what it counts."""

    loss: BatchLoss
    tokens: TokenChoice | None = None
    """Chooses the tokens that count; all by default."""
    groups: GroupWeights | None = None
    """Weights of groups of rows; all alike by default."""
    widths: ElasticWidths | None = None
    """Widths of a sorted model, one of which each step draws; the whole width by default."""

    def width_of(self, step: int) -> AbstractContextManager[None]:
        """Return the context in which all forward passes of a step run."""
        return nullcontext() if self.widths is None else self.widths.at(self.widths.of_step(step))


@dataclass(frozen=True, eq=False)
class StepRows:
    """The rows of one step that a process takes, and what counts of them."""

    numbers: list[int]
    """Their numbers among the training rows."""
    rows: list[Encoded]
    kept: list[NDArray[np.bool_]] | None
    """Which supervised tokens of each row count; None for all."""
    counted: int
    """Tokens that count in the whole step, in all processes."""


def objective(
    loaded: LoadedSetup,
    predictions: OriginalPredictions | None,
    request: RecoveryRequest,
    groups: GroupWeights | None,
    widths: ElasticWidths | None,
) -> Objective:
    """Return the objective that the request asks for; `predictions` are the original's, if it needs any."""
    loss = batch_loss(loaded, predictions, request) or ordinary_loss(loaded.model)
    choice = None
    if predictions is not None and request.token_share < 1:
        choice = TokenChoice(request.token_share, predictions.lookup, request.taught)
    return Objective(loss, choice, groups, widths)


def ordinary_loss(model: PreTrainedModel) -> BatchLoss:
    """Return the cross-entropy of the response."""
    return lambda batch: response_loss(model, batch)


def rows_of_step(
    rows: Sequence[Encoded],
    numbers: Sequence[int],
    choice: TokenChoice | None,
    model: PreTrainedModel,
    batch_tokens: int,
    group: ProcessGroup,
) -> StepRows:
    """Return the rows of a step that this process takes, with the tokens that count; `numbers` are all its rows."""
    all_rows = [rows[number] for number in numbers]
    own = group.own_rows([len(item.ids) for item in all_rows])
    mine = [all_rows[place] for place in own]
    supervised = [item.n_response for item in all_rows]
    if choice is None:
        return StepRows([numbers[place] for place in own], mine, None, sum(supervised))
    starts = np.cumsum([0, *supervised])
    # Every process fills in its own rows: the sum over processes is the distances of the whole step.
    values = np.zeros(int(starts[-1]))
    for place, distances in zip(own, choice.distances(model, mine, batch_tokens), strict=True):
        values[starts[place] : starts[place + 1]] = distances
    kept = largest(np.sum(group.gather(*values.tolist()), axis=0), choice.share)
    masks = [kept[starts[place] : starts[place + 1]] for place in own]
    return StepRows([numbers[place] for place in own], mine, masks, int(kept.sum()))


def passes_of(step: StepRows, groups: GroupWeights | None, batch_tokens: int) -> list[tuple[list[int], int | None]]:
    """Return the forward passes of a step as places in its rows, each with its group; without groups that is None.

    A pass has rows of one group only, because its loss is one number that the group's weight multiplies. A row of which
    no token counts is in no pass.
    """
    lengths = [len(item.ids) for item in step.rows]
    usable = [place for place in range(len(lengths)) if step.kept is None or step.kept[place].any()]
    if groups is None:
        return [(batch, None) for batch in token_batches(lengths, usable, batch_tokens)]
    of = groups.of[step.numbers] if step.numbers else np.zeros(0, dtype=np.int64)
    return [
        (batch, int(number))
        for number in np.unique(of)
        for batch in token_batches(lengths, [place for place in usable if of[place] == number], batch_tokens)
    ]
