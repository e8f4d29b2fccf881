"""Recovers a compressed model: takes a model folder and rows, writes a model folder, and returns a report.

The command line calls `recover` in a process of its own (`curate.engines.job`); comparisons call it directly. Does not
access the warehouse.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engines.recover.context import STANDALONE, RecoveryContext
from curate.engines.recover.execution import RecoveryExecution
from curate.engines.recover.observer import SILENT, Observer
from curate.engines.recover.results.report import peak_memory
from curate.engines.recover.results.work_folder import WorkFolder
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from curate.engines.recover.training.rows import Rows


def recover(
    model: str | Path,
    rows: Rows,
    out: str | Path,
    request: RecoveryRequest | None = None,
    *,
    heldout: Rows = (),
    original: str | Path | None = None,
    context: RecoveryContext = STANDALONE,
    observer: Observer = SILENT,
) -> dict[str, Any]:
    """Train the model folder `model` on `rows` and write the result to the new folder `out`.

    Parameters
    ----------
    model : str or Path
        A Hugging Face folder in safetensors, an adapter over one, or a hub name.
    rows : sequence of RecordBatch, or of turn sequences
        Training rows; batches carry a ``messages`` column. Every assistant turn is supervised.
    out : str or Path
        Must not exist, or be an empty folder; it appears complete or not at all. Holds the merged model with its
        tokenizer, generation settings and model card, and the trained tensors in ``adapter``; without merging the
        card and ``adapter`` only.
    request : RecoveryRequest, optional
        Method, schedule, seed and other settings; the published recipe by default.
    heldout : as `rows`, optional
        Rows whose perplexity is measured before and after; never trained on.
    original : str or Path, optional
        The model before compression: reveals removed layers, provides a tokenizer if `model` has none, and is required
        for a reconstruction or a teacher's weight in the request.
    context : RecoveryContext
        Work folder, origin of the rows, cache of predictions, and the group of processes.
    observer : Observer
        Callbacks for progress, and for stopping the run.

    Returns
    -------
    dict, JSON-able
        ``method`` and ``reason``; ``detected``; ``layers``, the numbers of those trained where not all are;
        ``trainable``, ``trainable_share``; ``rows``, ``rows_skipped``,
        ``steps``, ``tokens``, ``tokens_per_second``; ``loss_first`` and ``loss_last`` (means of ten steps, nats per
        token); ``reconstruction``, the error of each layer before and after, and ``perplexity_reconstructed``, if
        requested; ``sparsity_before``, ``sparsity_after``; ``perplexity_before``, ``perplexity_trained`` (before
        merging) and ``perplexity_after`` (of the folder written), None without held-out rows; ``merged``, and if so
        ``merge_difference``, the largest difference of a logit between the trained model and the folder, relative to
        the largest logit; ``peak_memory`` in bytes, of the first process; ``processes``; ``template_digest``;
        ``metrics``; ``warnings``; ``seconds``. Empty in every process but the first.

    Raises
    ------
    UsageError
        When `out` is not free, or checkpoints belong to another run.
    InputError
        When the model or the rows cannot be used: no supervised token, for example.
    GateError
        When merging would destroy the zeros or is impossible; before training if that is known then.
    CurateError
        When the loss is not finite or diverges; the last good checkpoint is named.
    Interrupted
        When the observer requested it.
    """
    start = time.perf_counter()
    group, request = context.group, request or RecoveryRequest()
    if group.size > 1:
        request = replace(request, device=str(group.device))
    work = None if context.work is None else Path(context.work)
    with WorkFolder(Path(out), work, writes=group.is_first) as folder:
        original_name = None if original is None else str(original)
        facts = RecoveryExecution(str(model), original_name, request, folder, context, observer).run(rows, heldout)
        if not group.is_first:
            return {}
        facts |= {"processes": group.size, "peak_memory": peak_memory(), "seconds": time.perf_counter() - start}
        report = {**facts, "request": request.to_json()}
        folder.finish(report, context.lineage)
        folder.clear()
    return report
