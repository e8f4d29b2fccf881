"""What the original predicts of a selection's rows, as the columns that ``curate export --to axolotl-kd`` writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows.operations.recover import for_selection
from curate.flows.stages.recovering.job_content import selected_rows
from curate.flows.stages.recovering.request import request_of
from curate.flows.stages.recovering.targets import with_targets
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

TOP = 64
"""Default number of tokens kept of each prediction."""


def predicted_columns(
    warehouse: Warehouse, settings: Settings, selection: str, top: int | None
) -> dict[str, dict[str, Any]]:
    """Return ``logprobs``, ``target_token_ids``, ``tail`` and ``n_tokens`` by example id.

    Rows without an entry are longer than ``--max-length``, or have no response.

    Raises
    ------
    UsageError
        If the original is not known, or there is no chat template.
    """
    from curate.engines.score.teacher_logprobs import teacher_logprobs

    settings, selection = for_selection(settings, selection)
    if settings.original is None:
        raise UsageError(
            f"selection {selection} was made without an original model, which the log-probabilities come from; "
            "pass --original FOLDER and --compressed FOLDER"
        )
    rows = with_targets(warehouse, settings, selected_rows(warehouse, warehouse.manifest("selection", selection)))
    names = rows["example_id"].to_pylist()
    student = settings.compressed or settings.original
    columns: dict[str, dict[str, Any]] = {}
    predicted = teacher_logprobs(settings.original, student, rows, request_of(settings), top or TOP)
    for row, n_tokens, supervised, one in predicted:
        first = int(supervised.argmax())
        kept = iter(zip(one.log_p.tolist(), one.ids.tolist(), one.tail.tolist(), strict=True))
        listed = [next(kept) if trained else ([], [], 0.0) for trained in supervised[first:].tolist()]
        logprobs, ids, tail = zip(*listed, strict=True)
        columns[names[row]] = {"logprobs": logprobs, "target_token_ids": ids, "tail": tail, "n_tokens": n_tokens}
    return columns
