"""Scores a corpus with a model pair in one pass: RecordBatches of conversations in, RecordBatches of signals out.

For each part the rows are tokenised, batched by length, sent through both backbones, and only supervised positions
meet the output layers, a chunk of tokens at a time. A part's numbers depend on that part alone, so that a resumed run
gives what an uninterrupted one gives. Knows nothing of files and warehouses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from curate.engines.models.description import describe
from curate.engines.score import signals
from curate.engines.score.all_layers import EveryLayer
from curate.engines.score.kernels import token_kernel
from curate.engines.score.memory import EVERY_LAYER_SHARE
from curate.engines.score.original_cache import choose, offsets
from curate.engines.score.reduction import States, response_signals
from curate.engines.score.response_states import (
    encode_rows,
    response_states,
    response_tokens,
    runner,
    segment_means,
    workers,
)
from curate.engines.tokens.templates import Template
from curate.schemas.scores import SCORES, SIGNALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from curate.engines.models.loading import Pair
    from curate.engines.score.config import ScoreConfig
    from curate.engines.score.kernels import Kernel
    from curate.engines.score.original_cache import Kept, Teacher
    from curate.engines.score.top_k import Summary
    from curate.engines.tokens.templates import Encoded

    Progress = Callable[[int], None]
    ScorePart = Callable[[int, pa.RecordBatch, Progress], pa.RecordBatch]


def template_for(pair: Pair, config: ScoreConfig) -> Template:
    """Return the template that scoring uses, its length capped by the models' context."""
    return Template(pair.tokenizer, config.template, min(config.max_length, pair.context or config.max_length))


def facts(pair: Pair, config: ScoreConfig, teacher: Teacher | None = None) -> dict[str, Any]:
    """Return what the manifest of the scores should say: template, its digest and length, and the models."""
    template = template_for(pair, config)
    return {
        "template": template.name,
        "template_digest": template.digest(),
        "max_length": template.max_length,
        "gradient_layers": config.layers,
        "kernel": _kernel(pair, config, teacher)[1],
        "compressed": describe(pair.compressed),
        "original": describe(pair.original) if pair.original else teacher.facts if teacher else None,
    }


def score(
    batches: Iterable[pa.RecordBatch],
    pair: Pair,
    config: ScoreConfig,
    progress: Progress | None = None,
    teacher: Teacher | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield one batch of scores for each batch of conversations, the first of which is part 0; see `part_scorer`."""
    scored = part_scorer(pair, config, teacher)
    for index, batch in enumerate(batches):
        yield scored(index, batch, progress or (lambda rows: None))


def part_scorer(pair: Pair, config: ScoreConfig, teacher: Teacher | None = None) -> ScorePart:
    """Return the function that scores one part, whatever other parts were scored before.

    Parameters
    ----------
    pair : Pair
    config : ScoreConfig
    teacher : Teacher, optional
        Stands for the original where the pair has none, with the states that it left for these very parts.

    Returns
    -------
    callable
        Of the number of the part; its RecordBatch with columns ``example_id`` and ``messages`` (schemas.corpus),
        optionally ``tools``, others being ignored; and a function that is called with the number of rows finished
        since the last call. It returns a RecordBatch of schema `SCORES`, rows in input order. ``status`` is ``ok``;
        ``no_response_tokens`` where nothing is supervised (after truncation); ``template_error`` where the chat
        template refuses the conversation; or ``non_finite:<signal>`` naming the first signal that is not a number.
        It raises a CurateError when a single row does not fit into the device's memory.
    """
    template = template_for(pair, config)
    scorer = _Scorer(pair, config, template.bos, teacher)

    def scored(index: int, batch: pa.RecordBatch, progress: Progress) -> pa.RecordBatch:
        encoded = encode_rows(batch, template)
        kept = None if teacher is None else teacher.part(index)
        return _table(batch.column("example_id"), encoded, scorer.part(encoded, kept, progress))

    return scored


class _Scorer:
    """Both models, and the numbers that hold for the whole run."""

    def __init__(self, pair: Pair, config: ScoreConfig, bos: int | None, teacher: Teacher | None) -> None:
        self._pair, self._config, self._bos, self._teacher = pair, config, bos, teacher
        self._every = EveryLayer(pair.compressed) if config.layers == "all" else None
        share = EVERY_LAYER_SHARE if self._every else 1
        self._runner = runner(pair.compressed, config.batch_tokens, config.chunk_tokens, share)
        self._kernel, _ = _kernel(pair, config, teacher)

    def part(self, encoded: Sequence[Encoded], kept: Kept | None, progress: Progress) -> dict[str, NDArray[np.float64]]:
        """Return every computed signal of one part, shape (n_rows,), NaN for rows without a supervised token.

        `kept` is what the teacher left for this part.
        """
        names = ["don", "nod", "nll_compressed", "entropy", "el2n"]
        names += ["cds", "nll_original"] if self._pair.original or self._teacher else []
        names += ["ifd"] if self._config.ifd else []
        out = {name: np.full(len(encoded), np.nan) for name in names}
        rows = [index for index, item in enumerate(encoded) if item.n_response]
        ends = offsets(encoded)
        progress(len(encoded) - len(rows))

        def work(batch: list[int]) -> None:
            left = None if kept is None else choose(kept, ends, batch)
            found = self._batch([encoded[row] for row in batch], left)
            for name, values in found.items():
                out[name][batch] = values
            progress(len(batch))

        self._runner.run([len(item.ids) for item in encoded], rows, work)
        return out

    @torch.inference_mode()
    def _batch(self, rows: Sequence[Encoded], kept: Kept | None) -> dict[str, NDArray[np.float64]]:
        """Return the signals of the rows of one batch, each of shape (n_rows,), float64."""
        model = self._pair.compressed
        lengths = np.array([item.n_response for item in rows])
        targets = response_tokens(rows).to(model.device)
        if self._every is None:
            states, tape = response_states(model, rows), None
        else:
            states, tape = self._every.response_states(rows)
        own, reference = States(model.head, states.detach()), self._reference(rows, kept)
        how = (self._config.chunk_tokens, reference, self._kernel, tape is not None)
        found = response_signals(own, targets, lengths.tolist(), *how)
        means = {name: segment_means(values, lengths) for name, values in found.tokens.items()}
        alignment, squared, rate = means.pop("alignment"), found.gradient_squared, self._config.probe_lr
        means["don"] = signals.delta_of_norm(squared, alignment, model.weight_squared, rate)
        means["nod"] = signals.norm_of_delta(squared, rate)
        if self._every is not None and tape is not None and found.state_gradient is not None:
            for name, values in self._every.backward(states, found.state_gradient, tape, rate).items():
                means[name] = means[name] + values
        if self._config.ifd:
            means["ifd"] = self._ifd(rows, found.tokens["nll_compressed"], lengths)
        return means

    def _reference(self, rows: Sequence[Encoded], kept: Kept | None) -> States | Summary | None:
        """Return what the original says of these rows, computed now or kept from before."""
        if self._teacher is not None and kept is not None:
            return self._teacher.reference(kept)
        original = self._pair.original
        return None if original is None else States(original.head, response_states(original, rows))

    def _ifd(
        self, rows: Sequence[Encoded], given: NDArray[np.float64], lengths: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return ifd: the same response tokens after the beginning-of-text token, or without their first token."""
        model = self._pair.compressed
        alone = [_alone(item, self._bos) for item in rows]
        if self._bos is None:
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
        return signals.instruction_following_difficulty(
            segment_means(given, lengths), segment_means(without, lengths), self._config.ifd_ratio
        )


def _kernel(pair: Pair, config: ScoreConfig, teacher: Teacher | None) -> tuple[Kernel, str]:
    """Return the kernel, compiled for the number of threads that a batch has, and its name."""
    model, paired = pair.compressed, pair.original is not None or (teacher is not None and teacher.top is None)
    threads = torch.get_num_threads() if workers(model, config.chunk_tokens) == 1 else 1
    return token_kernel(config.kernel, model.head.vocabulary, model.device, paired, threads)


def _alone(item: Encoded, bos: int | None) -> Encoded:
    """Return the supervised tokens of a row as a sequence of their own."""
    response = item.ids[item.supervised]
    ids = response if bos is None else np.concatenate([[bos], response])
    supervised = np.ones(len(ids), np.bool_)
    supervised[0] = False
    return type(item)(ids, supervised)


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
