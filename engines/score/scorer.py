"""Scores a corpus with a model pair in one pass: RecordBatches of conversations in, RecordBatches of signals out.

The rows of each part are tokenised, batched by length and passed through both backbones; the output heads see only the
supervised positions, a chunk of tokens at a time. A part's results depend on that part alone, so that a resumed run
equals an uninterrupted one. Does not access files or the warehouse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from curate.engines.models.description import describe
from curate.engines.score import signals
from curate.engines.score.all_layers import AllLayers
from curate.engines.score.kernels import token_kernel
from curate.engines.score.original_cache import row_offsets, take_rows
from curate.engines.score.reduction import ResponseStates, response_signals
from curate.engines.score.response_states import (
    all_states,
    batch_runner,
    concurrency,
    encode_rows,
    of_responses,
    response_states,
    response_tokens,
    segment_means,
)
from curate.engines.score.row_vectors import unit_vectors, with_vectors
from curate.engines.score.sketch import mean_states, sketch_tables
from curate.engines.tokens.counting import status_of
from curate.engines.tokens.templates import Template
from curate.schemas.scores import SCORES, SIGNALS, UNLIKELY_NLL
from curate.schemas.sketches import SKETCH_NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from curate.engines.models.loading import Pair
    from curate.engines.score.config import ScoreConfig
    from curate.engines.score.kernels import Kernel
    from curate.engines.score.original_cache import CachedOriginal, Columns
    from curate.engines.score.top_k import TopKPredictions
    from curate.engines.tokens.templates import Encoded

    Progress = Callable[[int], None]
    ScorePart = Callable[[int, pa.RecordBatch, Progress], pa.RecordBatch]


def template_for(pair: Pair, config: ScoreConfig) -> Template:
    """Return the template that scoring uses, its length capped by the models' context."""
    return Template(pair.tokenizer, config.template, min(config.max_length, pair.context or config.max_length))


def facts(pair: Pair, config: ScoreConfig, cached: CachedOriginal | None = None) -> dict[str, Any]:
    """Return the manifest entries of the scores: template, its digest and length, and the models."""
    template = template_for(pair, config)
    return {
        "template": template.name,
        "template_digest": template.digest(),
        "max_length": template.max_length,
        "gradient_layers": config.layers,
        "kernel": _kernel(pair, config, cached)[1],
        "compressed": describe(pair.compressed),
        "original": describe(pair.original) if pair.original else cached.facts if cached else None,
    }


def score(
    batches: Iterable[pa.RecordBatch],
    pair: Pair,
    config: ScoreConfig,
    progress: Progress | None = None,
    cached: CachedOriginal | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield one batch of scores per batch of conversations, the first of which is part 0; see `part_scorer`."""
    score_part = part_scorer(pair, config, cached)
    for index, batch in enumerate(batches):
        yield score_part(index, batch, progress or (lambda rows: None))


def part_scorer(pair: Pair, config: ScoreConfig, cached: CachedOriginal | None = None) -> ScorePart:
    """Return the function that scores one part, independently of the parts scored before.

    Parameters
    ----------
    pair : Pair
    config : ScoreConfig
    cached : CachedOriginal, optional
        Replaces the original if the pair has none; it has to hold the predictions of the same parts.

    Returns
    -------
    callable
        Takes the index of the part; its RecordBatch with columns ``example_id`` and ``messages`` (schemas.corpus),
        optionally ``tools``, others being ignored; and a function that is called with the number of rows finished
        since the last call. Returns a RecordBatch of schema `SCORES`, with ``config.sketch`` followed by the columns of
        `sketches_schema`, rows in input order. ``status`` is ``ok``;
        ``no_response_tokens`` if nothing is supervised (after truncation); ``template_error`` if the chat template
        rejects the conversation; or ``non_finite:<signal>`` naming the first signal with a non-finite value.
        Raises a CurateError if a single row does not fit into the device's memory.
    """
    template = template_for(pair, config)
    scorer = _Scorer(pair, config, template.bos, cached)

    def score_part(index: int, batch: pa.RecordBatch, progress: Progress) -> pa.RecordBatch:
        encoded = encode_rows(batch, template)
        columns = None if cached is None else cached.part(index)
        return _table(batch.column("example_id"), encoded, scorer.part(encoded, columns, progress))

    return score_part


class _Scorer:
    """Both models, and what is constant over the run."""

    def __init__(self, pair: Pair, config: ScoreConfig, bos: int | None, cached: CachedOriginal | None) -> None:
        self._pair, self._config, self._bos, self._cached = pair, config, bos, cached
        self._all_layers = AllLayers(pair.compressed) if config.layers == "all" else None
        self._runner = batch_runner(pair.compressed, config)
        self._kernel, _ = _kernel(pair, config, cached)
        vocabulary, width = pair.compressed.head.weight.shape
        self._tables = sketch_tables(vocabulary, width, pair.compressed.device) if config.sketch else None

    def part(
        self, encoded: Sequence[Encoded], columns: Columns | None, progress: Progress
    ) -> dict[str, NDArray[np.float64]]:
        """Return every computed signal of one part, shape (n_rows,), NaN for rows without a supervised token.

        `columns` are the cached predictions of this part, if any.
        """
        names = ["don", "nod", "nll_compressed", "entropy", "el2n"]
        names += (
            ["cds", "nll_original", "positive_excess", "unlikely_share"] if self._pair.original or self._cached else []
        )
        names += ["ifd"] if self._config.ifd else []
        out = {name: np.full(len(encoded), np.nan) for name in names} | self._empty_vectors(len(encoded))
        rows = [index for index, item in enumerate(encoded) if item.n_response]
        ends = row_offsets(encoded)
        # Rows without a response are finished: no batch will report them.
        progress(len(encoded) - len(rows))

        def work(batch: list[int]) -> None:
            own_columns = None if columns is None else take_rows(columns, ends, batch)
            for name, values in self._batch([encoded[row] for row in batch], own_columns).items():
                out[name][batch] = values
            progress(len(batch))

        self._runner.run([len(item.ids) for item in encoded], rows, work)
        return out

    @torch.inference_mode()
    def _batch(self, rows: Sequence[Encoded], columns: Columns | None) -> dict[str, NDArray[np.float64]]:
        """Return the signals of the rows of one batch, each of shape (n_rows,), float64."""
        model = self._pair.compressed
        lengths = np.array([item.n_response for item in rows])
        targets = response_tokens(rows).to(model.device)
        vectors: dict[str, NDArray[Any]] = {}
        if self._all_layers is None:
            everything = all_states(model, rows)
            states, tape = of_responses(everything, rows), None
            if self._config.sketch:
                vectors = unit_vectors("state", mean_states(everything, [len(item.ids) for item in rows]))
        else:
            states, tape = self._all_layers.response_states(rows)
        # Detached: the head's gradient is computed by formula, and autograd continues from the states only.
        own, reference = ResponseStates(model.head, states.detach()), self._reference(rows, columns)
        options = (self._config.chunk_tokens, reference, self._kernel, tape is not None, self._tables)
        result = response_signals(own, targets, lengths.tolist(), *options)
        tokens = result.tokens | _of_pair(result.tokens)
        means = {name: segment_means(values, lengths) for name, values in tokens.items()}
        alignment, squared, rate = means.pop("alignment"), result.gradient_squared, self._config.probe_lr
        means["don"] = signals.delta_of_norm(squared, alignment, model.weight_squared, rate)
        means["nod"] = signals.norm_of_delta(squared, rate)
        if self._all_layers is not None and tape is not None and result.state_gradient is not None:
            for name, values in self._all_layers.backward(states, result.state_gradient, tape, rate).items():
                means[name] = means[name] + values
        if self._config.ifd:
            means["ifd"] = self._ifd(rows, result.tokens["nll_compressed"], lengths)
        if result.sketches is not None:
            vectors |= unit_vectors("sketch", result.sketches)
        return means | {name: values for name, values in vectors.items() if name != "state_norm"}

    def _empty_vectors(self, n: int) -> dict[str, NDArray[Any]]:
        """Return arrays for the vectors of `n` rows, NaN until computed; none without ``sketch``."""
        if not self._config.sketch:
            return {}
        widths = {"state": self._pair.compressed.head.weight.shape[1]}
        if self._pair.original or self._cached:
            widths["sketch"] = SKETCH_NUMBERS
        norm = {"sketch_norm": np.full(n, np.nan)} if "sketch" in widths else {}
        return {name: np.full((n, width), np.nan, np.float16) for name, width in widths.items()} | norm

    def _reference(self, rows: Sequence[Encoded], columns: Columns | None) -> ResponseStates | TopKPredictions | None:
        """Return the original's predictions of these rows, computed now or taken from the cache."""
        if self._cached is not None and columns is not None:
            return self._cached.reference(columns)
        original = self._pair.original
        return None if original is None else ResponseStates(original.head, response_states(original, rows))

    def _ifd(
        self, rows: Sequence[Encoded], given: NDArray[np.float64], lengths: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return ifd: the same response tokens after the beginning-of-text token, or without their first token."""
        model = self._pair.compressed
        alone = [_response_only(item, self._bos) for item in rows]
        if self._bos is None:
            # Nothing predicts the first response token without a prompt, so it is left out of both sides.
            given = np.delete(given, np.cumsum(lengths) - lengths)
            lengths = lengths - 1
        targets = response_tokens(alone).to(model.device)
        states = response_states(model, alone)
        step = self._config.chunk_tokens
        nll = [
            signals.distribution(model.head.logits(part), target).nll.double().cpu()
            for part, target in zip(states.split(step), targets.split(step), strict=True)
        ]
        without = torch.cat(nll).numpy()
        return signals.instruction_following_difficulty(segment_means(given, lengths), segment_means(without, lengths))


def _of_pair(tokens: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return the signals of each token that compare its two likelihoods; none for a single model."""
    if "nll_original" not in tokens:
        return {}
    # Two infinities have no difference: the row is not finite in any case, and gets that status.
    with np.errstate(invalid="ignore"):
        excess = np.maximum(tokens["nll_compressed"] - tokens["nll_original"], 0.0)
    return {"positive_excess": excess, "unlikely_share": (tokens["nll_original"] > UNLIKELY_NLL).astype(np.float64)}


def _kernel(pair: Pair, config: ScoreConfig, cached: CachedOriginal | None) -> tuple[Kernel, str]:
    """Return the kernel, compiled for the number of threads that a batch has, and its name."""
    model, paired = pair.compressed, pair.original is not None or (cached is not None and cached.top is None)
    threads = torch.get_num_threads() if concurrency(model, config.chunk_tokens) == 1 else 1
    return token_kernel(config.kernel, model.head.vocabulary, model.device, paired, threads)


def _response_only(item: Encoded, bos: int | None) -> Encoded:
    """Return the supervised tokens of a row as a sequence without a prompt."""
    response = item.ids[item.supervised]
    ids = response if bos is None else np.concatenate([[bos], response])
    supervised = np.ones(len(ids), np.bool_)
    supervised[0] = False
    return type(item)(ids, supervised)


def _table(ids: pa.Array, encoded: Sequence[Encoded], computed: dict[str, NDArray[np.float64]]) -> pa.RecordBatch:
    """Return the scores of one part; signals that were not computed, and all of a row that is not ok, are null."""
    status = np.array([_status(index, item, computed) for index, item in enumerate(encoded)], dtype=object)
    # A row that is not ok has no score at all: a partial row could be selected by the signals that it has.
    bad = status != "ok"
    columns: dict[str, Any] = {"example_id": ids.cast(pa.string()), "status": pa.array(status, pa.string())}
    for name in SIGNALS:
        values = computed.get(name, np.full(len(encoded), np.nan))
        mask = bad | (name not in computed) | np.isnan(values)
        columns[name] = pa.array(np.where(mask, 0.0, values), SCORES.field(name).type, mask=mask, safe=False)
    responses = np.array([item.n_response for item in encoded], dtype=np.int32)
    columns["n_prompt_tokens"] = np.array([len(item.ids) for item in encoded], dtype=np.int32) - responses
    columns["n_response_tokens"] = responses
    columns["truncated"] = np.array([item.truncated for item in encoded], dtype=bool)
    scores = pa.RecordBatch.from_arrays([pa.array(columns[name]) for name in SCORES.names], schema=SCORES)
    return with_vectors(scores, computed, bad) if "state" in computed else scores


def _status(index: int, item: Encoded, computed: dict[str, NDArray[np.float64]]) -> str:
    if (unusable := status_of(item)) != "ok":
        return unusable
    values = {name: computed[name][index] for name in SIGNALS if name in computed}
    if item.n_response == 1 and np.isnan(values.get("ifd", 0.0)):
        # Without a beginning-of-text token nothing predicts the only token of the response: it has no ifd, and keeps
        # its other signals.
        del values["ifd"]
    broken = next((name for name, value in values.items() if not np.isfinite(value)), None)
    return "ok" if broken is None else f"non_finite:{broken}"
