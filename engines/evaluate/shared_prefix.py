"""Likelihoods of several continuations of one prefix: the prefix runs through the model once, and its keys are kept.

Items whose prefixes have the same length share a forward pass, so that no prefix is padded and no mask is needed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from curate.engines.evaluate.teacher_forcing import TeacherForcingResult, score_answers, token_results
from curate.engines.tokens.batching import pad_right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from curate.engines.models.output_head import OutputHead
    from curate.engines.tokens.batching import BatchRunner
    from curate.engines.tokens.templates import Encoded


def score_options(
    model: PreTrainedModel, head: OutputHead, groups: Sequence[Sequence[Encoded]], runner: BatchRunner
) -> TeacherForcingResult:
    """Return likelihood and correctness of the supervised tokens of every row; the rows of a group share a beginning.

    Parameters
    ----------
    groups : sequence of sequences of Encoded
        The options of each item. The result has one entry per row, group after group.
    model, head, runner
        As in `score_answers`, which gives the same up to rounding, and is used where a model keeps no plain keys.

    Raises
    ------
    CurateError
        If the rows of a single group do not fit into the device's memory.
    """
    rows = [row for group in groups for row in group]
    if not keeps_keys(model):
        return score_answers(model, head, rows, runner)
    out = TeacherForcingResult(np.zeros(len(rows)), np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64))
    first = np.cumsum([0, *map(len, groups)])

    @torch.inference_mode()
    def work(batch: list[int]) -> None:
        by_length: defaultdict[int, list[int]] = defaultdict(list)
        for group in batch:
            by_length[prefix_length(groups[group])].append(group)
        for length, members in by_length.items():
            numbers = np.concatenate([np.arange(first[group], first[group + 1]) for group in members])
            owner = np.repeat(np.arange(len(members)), [len(groups[group]) for group in members])
            used = np.array([rows[number].n_response > 0 for number in numbers])
            _score(model, head, rows, (numbers[used], owner[used]), length, out)

    # As if every row were read whole: an upper bound of what a group needs.
    lengths = [len(group) * max((len(row.ids) for row in group), default=0) for group in groups]
    usable = [index for index, group in enumerate(groups) if any(row.n_response for row in group)]
    runner.run(lengths, usable, work)
    return out


def prefix_length(group: Sequence[Encoded]) -> int:
    """Return how many first tokens the rows of a group share, none of them supervised; rows without any do not count.

    0 if they share none; then nothing precedes the rows in the model.
    """
    used = [row for row in group if row.n_response]
    limit = min(int(np.argmax(row.supervised)) for row in used)
    same = np.all([row.ids[:limit] == used[0].ids[:limit] for row in used], axis=0)
    return limit if same.all() else int(np.argmin(same))


def _score(
    model: PreTrainedModel,
    head: OutputHead,
    rows: Sequence[Encoded],
    chosen: tuple[NDArray[np.int64], NDArray[np.int64]],
    length: int,
    out: TeacherForcingResult,
) -> None:
    """Score rows, given by their numbers and the number of their prefix, whose prefixes all have `length` tokens."""
    numbers, owner = chosen
    device = model.device
    tails = [rows[number].ids[length:] for number in numbers]
    supervised = [rows[number].supervised[length:] for number in numbers]
    states: list[torch.Tensor] = []
    cache = DynamicCache(config=model.config)
    if length:
        _, firsts = np.unique(owner, return_index=True)
        prefixes = torch.from_numpy(np.stack([rows[numbers[first]].ids[:length] for first in firsts])).to(device)
        output = model.base_model(input_ids=prefixes, past_key_values=cache, use_cache=True)
        which = torch.from_numpy(np.unique(owner, return_inverse=True)[1]).to(device)
        cache.batch_select_indices(which)
        states.append(output.last_hidden_state[:, -1:][which])
    # The last token of a row predicts nothing that is scored.
    inputs = pad_right([tail[:-1] for tail in tails]).to(device)
    if inputs.shape[1]:
        states.append(model.base_model(input_ids=inputs, past_key_values=cache, use_cache=True).last_hidden_state)
    # Without a prefix the first token, which nothing predicts, is never supervised.
    shift = 0 if length else 1
    every = torch.cat(states, dim=1)
    positions = np.concatenate([i * every.shape[1] + np.flatnonzero(m) - shift for i, m in enumerate(supervised)])
    targets = np.concatenate([tail[mask] for tail, mask in zip(tails, supervised, strict=True)])
    nll, correct = token_results(head, every.flatten(0, 1)[torch.from_numpy(positions).to(device)], targets)
    counts = np.array([mask.sum() for mask in supervised])
    row = np.repeat(np.arange(len(numbers)), counts)
    out.nll[numbers] = np.bincount(row, weights=nll, minlength=len(numbers))
    out.correct[numbers] = np.bincount(row, weights=correct, minlength=len(numbers)).astype(np.int64)
    out.tokens[numbers] = counts


@torch.inference_mode()
def keeps_keys(model: PreTrainedModel) -> bool:
    """Return whether the model's cache is one tensor of keys and values per layer, which grows with every token."""
    probe = torch.zeros((1, 1), dtype=torch.int64, device=model.device)
    cache = getattr(model.base_model(input_ids=probe, use_cache=True), "past_key_values", None)
    # Windows and recurrent states are kept in other layers, which are not continued here.
    return isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers)
