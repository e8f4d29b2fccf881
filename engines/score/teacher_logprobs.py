"""The original's most likely tokens at every response token of conversations, for trainers that distil from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.loading import load_language_model
from curate.engines.models.output_head import verify_head
from curate.engines.score.memory import CHUNK_TOKENS
from curate.engines.score.response_states import response_states, response_tokens
from curate.engines.score.top_k import top_k_predictions
from curate.engines.tokens.batching import token_batches
from curate.engines.tokens.shared_template import shared_template
from curate.schemas.corpus import turns_of
from curate.schemas.defaults import BATCH_TOKENS, OTHER_DEVICES
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from curate.engines.score.top_k import TopKPredictions
    from curate.engines.tokens.templates import Encoded, Template
    from curate.schemas.recovery import RecoveryRequest

    RowPredictions = tuple[int, int, NDArray[np.bool_], TopKPredictions]


@torch.inference_mode()
def teacher_logprobs(
    original: str, student: str, rows: pa.Table, how: RecoveryRequest, top: int
) -> Iterator[RowPredictions]:
    """Yield the predictions of every row that has a response and is not truncated, in batches of similar length.

    Parameters
    ----------
    original, student : str
        Folders or hub names; the student's tokenizer and chat template lay the rows out.
    rows : Table
        Columns ``messages`` and ``tools``.
    how : RecoveryRequest
        Its length, device, dtype and trust.
    top : int
        Most likely tokens kept, >= 1.

    Yields
    ------
    row : int
    n_tokens : int
    supervised : ndarray of shape (n_tokens,), bool
    predictions : TopKPredictions
        Of the supervised tokens, on the CPU.

    Raises
    ------
    UsageError
        If the tokenizer has no chat template.
    InputError
        If a model cannot be used.
    """
    template = _template(original, student, how)
    turns = [turns_of(messages) for messages in rows["messages"].to_pylist()]
    encoded = template.encode_many(turns, rows["tools"].to_pylist())
    device = resolve_device(how.device)
    model = load_language_model(
        original, device, resolve_dtype(how.dtype, device), trust_remote_code=how.trust_remote_code
    )
    verify_head(model.model, model.head)
    usable = [row for row, item in enumerate(encoded) if item.n_response and not item.truncated]
    budget = how.batch_tokens or BATCH_TOKENS.get(device.type, BATCH_TOKENS[OTHER_DEVICES])
    for batch in token_batches([len(item.ids) for item in encoded], usable, budget):
        chosen = [encoded[row] for row in batch]
        states = response_states(model, chosen)
        predictions = top_k_predictions(
            model.head, states, response_tokens(chosen).to(states.device), top, CHUNK_TOKENS
        )
        yield from _of_rows(batch, chosen, predictions.to(torch.device("cpu")))


def _of_rows(batch: list[int], chosen: list[Encoded], predictions: TopKPredictions) -> Iterator[RowPredictions]:
    start = 0
    for row, item in zip(batch, chosen, strict=True):
        stop = start + item.n_response
        yield row, len(item.ids), item.supervised, predictions.slice(start, stop)
        start = stop


def _template(original: str, student: str, how: RecoveryRequest) -> Template:
    template = shared_template(student, original, "auto", how.max_length, trust_remote_code=how.trust_remote_code)
    if template.name != "chat":
        raise UsageError(
            f"model {student!r} has no chat template, with which axolotl lays the rows out; "
            "save a chat_template.jinja beside its tokenizer"
        )
    return template
