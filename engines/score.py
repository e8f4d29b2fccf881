"""Scores a corpus with a model pair in one pass: RecordBatches of conversations in, RecordBatches of signals out.

For each part the rows are tokenised, batched by length, sent through both backbones, and only supervised positions
meet the output layers, a chunk of tokens at a time. A part's numbers depend on that part alone, so that a resumed run
gives what an uninterrupted one gives. Knows nothing of files and warehouses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import torch

from curate.engines import signals
from curate.engines.batching import BatchRunner, pad_right
from curate.engines.head import hidden_states
from curate.engines.kernels import token_kernel
from curate.engines.memory import BATCH_TOKENS, BATCH_TOKENS_OTHER, CHUNK_TOKENS, batches_at_once
from curate.engines.models import describe
from curate.engines.reduction import States, response_signals
from curate.engines.templates import KINDS, Template, TemplateKind
from curate.schemas.corpus import turns_of
from curate.schemas.errors import UsageError, did_you_mean
from curate.schemas.scores import SCORES, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from curate.engines.kernels import Kernel, KernelKind
    from curate.engines.models import LanguageModel, Pair
    from curate.engines.templates import Encoded

    Progress = Callable[[int], None]


@dataclass(frozen=True)
class ScoreConfig:
    """What is computed and how; see METHODS §1."""

    template: TemplateKind = "auto"
    """Layout of a conversation: the tokenizer's chat template, the plain one, or whichever there is."""
    max_length: int = 512
    """Longest sequence in tokens, ≥ 2; capped by the models' context. The end is cut off."""
    probe_lr: float = 1e-4
    """η of don and nod, > 0; the learning rate of the recovery to come."""
    ifd: bool = False
    """Whether to compute ifd, which costs a second pass over the responses."""
    ifd_ratio: Literal["perplexity", "loss"] = "perplexity"
    """Ratio of perplexities (Superfiltering) or of losses."""
    batch_tokens: int | None = None
    """Tokens per batch, padding counted; None takes 4,096 on a CPU and 32,768 elsewhere."""
    chunk_tokens: int = CHUNK_TOKENS
    """Most supervised tokens whose logits are held at a time, per model. A longer row takes a second pass."""
    kernel: KernelKind = "auto"
    """Whether the arithmetic over the vocabulary is compiled (`kernels`); which it was stands in the manifest."""

    def __post_init__(self) -> None:
        if self.template not in KINDS:
            raise UsageError(f"template {self.template!r} is not known{did_you_mean(self.template, list(KINDS))}")
        if self.ifd_ratio not in ("perplexity", "loss"):
            raise UsageError(f"ifd_ratio {self.ifd_ratio!r} is not known; known: perplexity, loss")
        if not 0 < self.probe_lr < float("inf"):
            raise UsageError(f"probe_lr {self.probe_lr} is not a positive number; give the recovery's learning rate")
        for name, value, least in (
            ("max_length", self.max_length, 2),
            ("batch_tokens", self.batch_tokens, 1),
            ("chunk_tokens", self.chunk_tokens, 1),
        ):
            if value is not None and value < least:
                raise UsageError(f"{name} {value} is too small; give at least {least}")


def template_for(pair: Pair, config: ScoreConfig) -> Template:
    """Return the template that scoring uses, its length capped by the models' context."""
    return Template(pair.tokenizer, config.template, min(config.max_length, pair.context or config.max_length))


def facts(pair: Pair, config: ScoreConfig) -> dict[str, Any]:
    """Return what the manifest of the scores should say: template, its digest and length, and the models."""
    template = template_for(pair, config)
    return {
        "template": template.name,
        "template_digest": template.digest(),
        "max_length": template.max_length,
        "gradient_layers": "output",
        "kernel": _kernel(pair, config)[1],
        "compressed": describe(pair.compressed),
        "original": None if pair.original is None else describe(pair.original),
    }


def score(
    batches: Iterable[pa.RecordBatch], pair: Pair, config: ScoreConfig, progress: Progress | None = None
) -> Iterator[pa.RecordBatch]:
    """Yield one batch of scores for each batch of conversations.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Columns ``example_id`` and ``messages`` (schemas.corpus), optionally ``tools``; others are ignored. One batch
        is one part: its result does not depend on any other.
    pair : Pair
    config : ScoreConfig
    progress : callable, optional
        Called with the number of rows finished since the last call.

    Yields
    ------
    RecordBatch
        Schema `SCORES`, rows in input order. ``status`` is ``ok``; ``no_response_tokens`` where nothing is supervised
        (after truncation); ``template_error`` where the chat template refuses the conversation; or
        ``non_finite:<signal>`` naming the first signal that is not a number.

    Raises
    ------
    CurateError
        When a single row does not fit into the device's memory.
    """
    template = template_for(pair, config)
    scorer = _Scorer(pair, config, template.bos, progress or (lambda rows: None))
    for batch in batches:
        encoded = encode_rows(batch, template)
        yield _table(batch.column("example_id"), encoded, scorer.part(encoded))


def encode_rows(batch: pa.RecordBatch, template: Template) -> list[Encoded]:
    """Return the conversations of one batch as token ids with what is supervised of them, in order."""
    conversations = [turns_of(messages) for messages in batch.column("messages").to_pylist()]
    tools = batch.column("tools").to_pylist() if "tools" in batch.schema.names else None
    return template.encode_many(conversations, tools)


class _Scorer:
    """Both models, and the numbers that hold for the whole run."""

    def __init__(self, pair: Pair, config: ScoreConfig, bos: int | None, progress: Progress) -> None:
        self._pair, self._config, self._bos, self._progress = pair, config, bos, progress
        budget = config.batch_tokens or BATCH_TOKENS.get(pair.compressed.device.type, BATCH_TOKENS_OTHER)
        self._runner = BatchRunner(budget, workers(pair, config))
        self._kernel, _ = _kernel(pair, config)

    def part(self, encoded: Sequence[Encoded]) -> dict[str, NDArray[np.float64]]:
        """Return every computed signal of one part, shape (n_rows,), NaN for rows without a supervised token."""
        names = ["don", "nod", "nll_compressed", "entropy", "el2n"]
        names += ["cds", "nll_original"] if self._pair.original is not None else []
        names += ["ifd"] if self._config.ifd else []
        out = {name: np.full(len(encoded), np.nan) for name in names}
        rows = [index for index, item in enumerate(encoded) if item.n_response]
        self._progress(len(encoded) - len(rows))

        def work(batch: list[int]) -> None:
            found = self._batch([encoded[row] for row in batch])
            for name, values in found.items():
                out[name][batch] = values
            self._progress(len(batch))

        self._runner.run([len(item.ids) for item in encoded], rows, work)
        return out

    @torch.inference_mode()
    def _batch(self, rows: Sequence[Encoded]) -> dict[str, NDArray[np.float64]]:
        """Return the signals of the rows of one batch, each of shape (n_rows,), float64."""
        model, original = self._pair.compressed, self._pair.original
        lengths = np.array([item.n_response for item in rows])
        targets = _response_tokens(rows).to(model.device)
        own = States(model.head, response_states(model, rows))
        reference = None if original is None else States(original.head, response_states(original, rows))
        found = response_signals(own, targets, lengths.tolist(), self._config.chunk_tokens, reference, self._kernel)
        means = {name: _segment_means(values, lengths) for name, values in found.tokens.items()}
        alignment, squared, rate = means.pop("alignment"), found.gradient_squared, self._config.probe_lr
        means["don"] = signals.delta_of_norm(squared, alignment, model.weight_squared, rate)
        means["nod"] = signals.norm_of_delta(squared, rate)
        if self._config.ifd:
            means["ifd"] = self._ifd(rows, found.tokens["nll_compressed"], lengths)
        return means

    def _ifd(
        self, rows: Sequence[Encoded], given: NDArray[np.float64], lengths: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return ifd: the same response tokens after the beginning-of-text token, or without their first token."""
        model = self._pair.compressed
        alone = [_alone(item, self._bos) for item in rows]
        if self._bos is None:
            given = np.delete(given, np.cumsum(lengths) - lengths)
            lengths = lengths - 1
        targets = _response_tokens(alone).to(model.device)
        states = response_states(model, alone)
        step = self._config.chunk_tokens
        nll = [
            signals.distribution(model.head.logits(part), target).nll.double().cpu()
            for part, target in zip(states.split(step), targets.split(step), strict=True)
        ]
        without = torch.cat(nll).numpy()
        return signals.instruction_following_difficulty(
            _segment_means(given, lengths), _segment_means(without, lengths), self._config.ifd_ratio
        )


def workers(pair: Pair, config: ScoreConfig) -> int:
    """Return how many batches are computed at once."""
    head = pair.compressed.head
    return batches_at_once(head.weight.device.type, torch.get_num_threads(), config.chunk_tokens, head.vocabulary)


def _kernel(pair: Pair, config: ScoreConfig) -> tuple[Kernel, str]:
    """Return the kernel, compiled for the number of threads that a batch has, and its name."""
    head, paired = pair.compressed.head, pair.original is not None
    threads = torch.get_num_threads() if workers(pair, config) == 1 else 1
    return token_kernel(config.kernel, head.vocabulary, pair.compressed.device, paired, threads)


def _response_tokens(rows: Sequence[Encoded]) -> torch.Tensor:
    """Return the supervised token ids of all rows, (M,) int64, example after example."""
    return torch.from_numpy(np.concatenate([item.ids[item.supervised] for item in rows]))


def _alone(item: Encoded, bos: int | None) -> Encoded:
    """Return the supervised tokens of a row as a sequence of their own."""
    response = item.ids[item.supervised]
    ids = response if bos is None else np.concatenate([[bos], response])
    supervised = np.ones(len(ids), np.bool_)
    supervised[0] = False
    return type(item)(ids, supervised)


def response_states(model: LanguageModel, rows: Sequence[Encoded]) -> torch.Tensor:
    """Return the final hidden states that predict the supervised tokens, (M, d), example after example."""
    ids = pad_right([item.ids for item in rows])
    # The state at position t - 1 predicts token t.
    places = np.concatenate([row * ids.shape[1] + np.flatnonzero(item.supervised) - 1 for row, item in enumerate(rows)])
    device = model.device
    states = hidden_states(model.model, ids.to(device))
    return states.flatten(0, 1)[torch.from_numpy(places).to(device)]


def _segment_means(values: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of each run of `lengths` consecutive values, NaN for an empty run."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    sums = np.bincount(owner, weights=values, minlength=len(lengths))
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / lengths


def _table(ids: pa.Array, encoded: Sequence[Encoded], found: dict[str, NDArray[np.float64]]) -> pa.RecordBatch:
    """Return the scores of one part; what was not computed, and everything of a row that is not ok, is null."""
    status = np.array([_status(index, item, found) for index, item in enumerate(encoded)], dtype=object)
    bad = status != "ok"
    columns: dict[str, Any] = {"example_id": ids.cast(pa.string()), "status": pa.array(status, pa.string())}
    for name in SIGNALS:
        values = found.get(name, np.full(len(encoded), np.nan))
        mask = bad | (name not in found)
        columns[name] = pa.array(np.where(mask, 0.0, values), SCORES.field(name).type, mask=mask, safe=False)
    responses = np.array([item.n_response for item in encoded], dtype=np.int32)
    columns["n_prompt_tokens"] = np.array([len(item.ids) for item in encoded], dtype=np.int32) - responses
    columns["n_response_tokens"] = responses
    columns["truncated"] = np.array([item.truncated for item in encoded], dtype=bool)
    return pa.RecordBatch.from_arrays([pa.array(columns[name]) for name in SCORES.names], schema=SCORES)


def _status(index: int, item: Encoded, found: dict[str, NDArray[np.float64]]) -> str:
    if item.error is not None:
        return "template_error"
    if not item.n_response:
        return "no_response_tokens"
    broken = next((name for name in SIGNALS if name in found and not np.isfinite(found[name][index])), None)
    return "ok" if broken is None else f"non_finite:{broken}"
