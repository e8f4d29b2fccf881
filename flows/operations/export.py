"""``curate export``: writes a selection in the format of a trainer, or a calibration set for a quantiser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.operations.teacher_export import predicted_columns
from curate.flows.session import open_warehouse
from curate.flows.stages.recovering.targets import accepted_texts, targets_input, writer_of
from curate.flows.stages.token_counts import counts_of
from curate.schemas.errors import UsageError
from curate.storage.exports import export as write
from curate.storage.exports import target_named
from curate.storage.exports.answers import Answers
from curate.storage.exports.model_optimizer import TOKENS
from curate.storage.warehouse.permissions import files_of_user

if TYPE_CHECKING:
    from pathlib import Path

    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

CALIBRATION, DISTILLATION, BLEND, IDS = "calibration", "axolotl-kd", "model-optimizer", "ids"


def export(
    settings: Settings,
    selection: str,
    target: str,
    folder: Path,
    name: str | None,
    rows: int | None,
    top: int | None = None,
) -> dict[str, Any]:
    """Write a selection in the format `target` into `folder` and return a summary of the files.

    Parameters
    ----------
    selection : str
        Id, its beginning, or ``latest``.
    rows : int or None
        Rows of a calibration set; 128 by default.
    top : int, optional
        Tokens kept of each of the original's predictions, for ``axolotl-kd``; 64 by default.

    Raises
    ------
    UsageError
        If the selection or target is unknown, or an option is given for a target that does not take it.
    """
    target_named(target)
    if rows is not None and (target != CALIBRATION or rows < 1):
        raise UsageError(f"--rows {rows} is valid with --to calibration only, and must be at least 1")
    if top is not None and (target != DISTILLATION or top < 1):
        raise UsageError(f"--top {top} is valid with --to {DISTILLATION} only, and must be at least 1")
    warehouse = open_warehouse(settings)
    selection_id = warehouse.find("selection", selection).id
    only = _calibration(warehouse, selection_id, rows or 128, settings.seed) if target == CALIBRATION else None
    columns = None
    if target == DISTILLATION:
        columns = predicted_columns(warehouse, settings, selection_id, top)
    answers = _answers(warehouse, settings, target)
    if target == BLEND and answers is None:  # scores counted the tokens of the corpus's answers
        columns = _token_counts(warehouse, selection_id)
    with files_of_user():
        return write(warehouse, selection_id, target, folder, name, only, columns, answers)


def _answers(warehouse: Warehouse, settings: Settings, target: str) -> Answers | None:
    """Return the accepted answers of ``--targets``; None without.

    Raises
    ------
    UsageError
        If the export has no answers.
    """
    targets = targets_input(warehouse, settings).get("targets")
    if targets is None:
        return None
    if target == IDS:
        raise UsageError("--targets is not valid with --to ids, which writes ids of the corpus; choose another --to")
    texts = accepted_texts(warehouse, targets)
    return Answers(targets, texts, settings.recover.keep_reference, *writer_of(warehouse, targets))


def _token_counts(warehouse: Warehouse, selection_id: str) -> dict[str, dict[str, int]] | None:
    """Return the tokens of prompt and response by example id, or None if the selection counted none."""
    counts = counts_of(warehouse.manifest("selection", selection_id))
    if counts is None:
        return None
    table = warehouse.read(*counts, columns=["example_id", "n_prompt_tokens", "n_response_tokens"])
    ids, prompts, responses = (column.to_pylist() for column in table.columns)
    return {name: {TOKENS: prompt + own} for name, prompt, own in zip(ids, prompts, responses, strict=True)}


def _calibration(warehouse: Warehouse, selection_id: str, rows: int, seed: int) -> set[str]:
    """Return the ids of kept rows, drawn with a probability that increases with their damage ``cds``."""
    from curate.selectors.ranking.weighted_draw import draw

    scores_id = warehouse.manifest("selection", selection_id).inputs.get("scores")
    kept = warehouse.read("selection", selection_id, columns=["example_id", "kept"])
    mask = kept["kept"].to_numpy(zero_copy_only=False)
    damage = np.zeros(0)
    if scores_id is not None:
        column = warehouse.read("scores", scores_id, columns=["cds"])["cds"]
        damage = np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)[mask]
    if not np.isfinite(damage).any():
        raise UsageError(
            f"a calibration set is drawn by cds, but selection {selection_id} has no scores of a model pair; "
            "select with --method paser, or export with another --to"
        )
    ids = np.asarray(kept["example_id"].to_pylist())[mask]
    # A divergence is not negative; rounding can leave values slightly below zero.
    drawn = draw(np.nan_to_num(damage, nan=0.0).clip(min=0.0), rows, np.random.default_rng(seed))
    return set(ids[drawn].tolist())
