"""Trains a compressed model back: a model folder and rows in, an ordinary model folder and a report out.

The one function that everything else calls: the command line through `curate.engines.job`, evaluations directly.
Knows nothing of the warehouse.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.models.checkpoints import model_files
from curate.engines.models.loading import load_model
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.methods.merging import agreement, merge, probe_logits
from curate.engines.recover.methods.reconstruction import reconstruct
from curate.engines.recover.methods.sparsity import share_of_zeros, zero_pattern
from curate.engines.recover.prepare import lay_out, load, load_original
from curate.engines.recover.results.report import facts_before, facts_of_steps, heldout_perplexity, peak_memory, sizes
from curate.engines.recover.results.workplace import Workplace
from curate.engines.recover.training.checkpoints import Checkpoints
from curate.engines.recover.training.distillation import Teacher
from curate.engines.recover.training.loop import Interrupted, train
from curate.engines.recover.training.original_predictions import library_beside, read_lessons
from curate.engines.recover.training.processes import ALONE
from curate.schemas.artefacts import digest
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from curate.engines.recover.prepare import Prepared
    from curate.engines.recover.training.loop import Loss
    from curate.engines.recover.training.original_predictions import Lessons, Library
    from curate.engines.recover.training.processes import Ranks
    from curate.engines.recover.training.rows import Rows

Tell = Callable[[dict[str, Any], int], None]
Told = Callable[[int, int], None]

MAY_CHANGE = ("device", "batch_tokens", "gradient_checkpointing", "checkpoint_steps", "merge")
"""What a run may go on with although it was begun otherwise: how much fits into memory, and what is written."""


def recover(
    model: str | Path,
    rows: Rows,
    out: str | Path,
    request: RecoveryRequest | None = None,
    *,
    heldout: Rows = (),
    original: str | Path | None = None,
    work: str | Path | None = None,
    template_digest: str | None = None,
    lineage: Mapping[str, Any] | None = None,
    stop: Callable[[], bool] = lambda: False,
    tell: Tell | None = None,
    layer_told: Told | None = None,
    read_told: Told | None = None,
    library: Library | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Any]:
    """Train the model folder `model` on `rows` and write the result to the new folder `out`.

    Parameters
    ----------
    model : str or Path
        A Hugging Face folder in safetensors, an adapter over one, or a hub name.
    rows : sequence of RecordBatch, or of turn sequences
        What to train on; batches carry a ``messages`` column. Every assistant turn is supervised.
    out : str or Path
        Must not exist, or be an empty folder; it appears whole or not at all. Holds the merged model with its
        tokenizer, generation settings and model card, and the trained tensors in ``adapter``; without merging the
        card and ``adapter`` only.
    request : RecoveryRequest, optional
        Method, schedule, seed and the rest; the published recipe by default.
    heldout : as `rows`, optional
        Rows whose perplexity is measured before and after; never trained on.
    original : str or Path, optional
        The model before compression: tells removed layers, lends its tokenizer where `model` has none, and is what a
        reconstruction or a teacher's weight in the request needs.
    work : str or Path, optional
        Folder for checkpoints, kept until the result is there. With the same causes, a second call goes on at its
        last checkpoint, bit for bit on a CPU. Without, nothing is kept.
    template_digest : str, optional
        Digest of the template that the rows were scored with; another one is refused.
    lineage : mapping, optional
        Where the rows come from, for the model card.
    stop : callable
        Asked after every step; when it says True, a checkpoint is written and `Interrupted` raised.
    tell : callable, optional
        Called after every step with its row of ``METRICS`` and the number of steps in all.
    layer_told : callable, optional
        Called after every reconstructed layer with (layers done, layers in all).
    read_told : callable, optional
        Called as the original reads rows for a teacher's weight, with (rows read, rows to read).
    library : Library, optional
        Where what the original says of rows is looked for and kept; in `work` by default.
    ranks : Ranks, optional
        The processes that train together, of which each makes this call with the same `out`, `work` and rows.

    Returns
    -------
    dict, JSON-able
        ``method`` and ``reason``; ``detected``; ``trainable``, ``trainable_share``; ``rows``, ``rows_skipped``,
        ``steps``, ``tokens``, ``tokens_per_second``; ``loss_first`` and ``loss_last`` (means of ten steps, nats per
        token); ``reconstruction``, the error of each layer before and after, and ``perplexity_reconstructed``, where
        it was asked for; ``sparsity_before``, ``sparsity_after``; ``perplexity_before``, ``perplexity_trained`` (before
        merging) and ``perplexity_after`` (of the folder written), None without held-out rows; ``merged``, and where it
        was ``merge_difference``, the largest difference of a logit between the trained model and the folder, relative
        to the largest logit; ``peak_memory`` in bytes, of the first process; ``processes``; ``template_digest``;
        ``metrics``; ``warnings``; ``seconds``. Empty in every process but the first.

    Raises
    ------
    UsageError
        When `out` is not free, or checkpoints belong to another run.
    InputError
        When the model or the rows cannot be used: no supervised token, for example.
    GateError
        When merging would destroy the zeros or is impossible, before training where that can be told.
    CurateError
        When the loss is not a number or diverges; the last good checkpoint is named.
    Interrupted
        When `stop` said so.
    """
    start = time.perf_counter()
    asked = request or RecoveryRequest()
    if ranks.count > 1:
        asked = replace(asked, device=str(ranks.device))
    with Workplace(Path(out), None if work is None else Path(work), writes=ranks.first) as place:
        first = None if original is None else str(original)
        layout = lay_out(str(model), rows, asked, heldout=heldout, original=first, template_digest=template_digest)
        lessons = None
        if first is not None and asked.taught:
            shelf = library or library_beside(place.folder, first)
            with ranks.in_turn():
                lessons = read_lessons(layout, first, asked, shelf, layout.rows, told=_reading(stop, read_told))
        ready = load(layout, asked)
        facts = facts_before(ready) if ranks.first else {}
        pattern = zero_pattern(ready.model)
        if first is not None and asked.reconstruct:
            if ranks.first:
                kept = place.folder / "layers" / _cause(str(model), ready, asked, first)
                teacher = load_original(ready, first, asked)
                facts["reconstruction"] = reconstruct(
                    ready.model, teacher, ready.rows, asked.seed, kept=kept, stop=stop, say=layer_told
                )
                del teacher
                facts["perplexity_reconstructed"] = heldout_perplexity(ready)
            ranks.spread(ready.model.parameters())
        adaptation = attach(ready.model, ready.method, asked)
        checkpoints = Checkpoints(place.checkpoints, _cause(str(model), ready, asked, first))
        done = train(
            adaptation, ready.rows, asked, asked.peak(ready.method),
            checkpoints=checkpoints, stop=stop, tell=tell,
            loss=loss_of(ready, lessons, asked), precision=ready.precision, ranks=ranks,
        )  # fmt: skip
        if not ranks.first:
            return {}
        facts |= sizes(adaptation, facts["parameters"], asked.epochs) | {"learning_rate": asked.peak(ready.method)}
        facts |= facts_of_steps(done.metrics, done.unreached)
        facts["perplexity_trained"] = heldout_perplexity(ready)
        probe = (ready.heldout or ready.rows)[:4]
        trained = probe_logits(ready.model, probe)
        # After a reconstruction the adapter would belong to a base that nobody has.
        if done.metrics and not asked.reconstruct:
            place.save_adapter(adaptation, {"method": ready.method, "request": asked.to_json()})
        if asked.merge:
            merge(adaptation, pattern, ready.stored)
            facts["sparsity_after"] = share_of_zeros(ready.model)
        staged = place.write_model(ready, asked.merge)
        del adaptation
        if asked.merge:
            ready.model = _again(ready, staged)
            facts["merge_difference"] = agreement(trained, probe_logits(ready.model, probe), ready.stored)
            facts["perplexity_after"] = heldout_perplexity(ready)
        else:
            facts |= {"sparsity_after": facts["sparsity_before"], "perplexity_after": facts["perplexity_trained"]}
        facts |= {"merged": asked.merge, "processes": ranks.count}
        facts |= {"peak_memory": peak_memory(), "seconds": time.perf_counter() - start}
        report = {**facts, "request": asked.to_json()}
        place.finish(report, dict(lineage or {}))
        place.clear()
    return report


def _again(ready: Prepared, staged: Path) -> PreTrainedModel:
    """Return the model that was written, loaded as any user would, in the number format of training."""
    device = ready.model.device
    del ready.model
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return load_model(staged, device, ready.precision)


def loss_of(ready: Prepared, lessons: Lessons | None, request: RecoveryRequest) -> Loss | None:
    """Return the loss that mixes in what the original says, None for ordinary training."""
    if lessons is None:
        return None
    teacher = Teacher(lessons.of, request.teacher_weight)
    return lambda batch: teacher.loss(ready.model, batch)


def _reading(stop: Callable[[], bool], told: Told | None) -> Told:
    """Return what is called as the original reads rows: it tells, and ends the pass where someone asks to stop."""

    def advance(done: int, rows: int) -> None:
        if told is not None:
            told(done, rows)
        if done < rows and stop():
            raise Interrupted(f"stopped at row {done} of {rows} of the original; the same command goes on there")

    return advance


def _cause(model: str, ready: Prepared, request: RecoveryRequest, original: str | None) -> str:
    """Return the digest of what decides the trained weights; files are known by size and time, not read again."""
    read = [model, *([original] if original is not None else [])]
    files = [path for one in read for path in model_files(one)]
    weights = [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    rows = [[item.ids.tolist(), item.supervised.tolist()] for item in ready.rows]
    how = {key: value for key, value in request.to_json().items() if key not in MAY_CHANGE}
    return digest([ready.method, weights, digest(rows), how, str(ready.precision)])
