"""Targets stage: a selection and a model → the model's answers to the selected rows, drawn until one is accepted.

With ``--accept likelihood`` and ``selfeval`` the rows that the judge is calibrated on are the first parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.flows import progress
from curate.flows.stages.engine import open_parts
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.recovering.job_content import selected_rows
from curate.flows.stages.rendering import rendering_setting
from curate.flows.stages.sampling.calibrating import CALIBRATED_BY, calibration, calibration_rows
from curate.flows.stages.sampling.decontaminating import Decontamination
from curate.flows.stages.sampling.drawing import drawing_settings, sampling_task
from curate.flows.stages.sampling.figures import counts, summary_rows, unused
from curate.flows.stages.selecting.screening import evaluations
from curate.schemas.errors import InputError
from curate.schemas.targets import STATES, TARGETS, TARGETS_SUMMARY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.sample.scorer import Scorer
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 2


def model_of(settings: Settings, selection_id: str) -> str:
    """Return the folder or hub name of the model that answers.

    Raises
    ------
    InputError
        If the selection was made without it and it was not given.
    """
    named = settings.sample.model
    if named not in ("original", "compressed"):
        return named
    folder: str | None = getattr(settings, named)
    if folder is None:
        raise InputError(f"selection {selection_id} was made without the {named} model; pass --{named} FOLDER")
    return folder


def recipe(warehouse: Warehouse, settings: Settings, selection_id: str) -> Recipe:
    """Return the recipe of targets: selection, model, evaluation files, and how answers are drawn and accepted.

    Raises
    ------
    InputError
        If there is no such model.
    UsageError
        As `drawing_settings`.
    """
    from curate.engines.models.checkpoints import generation_files

    model = model_of(settings, selection_id)
    inputs = {"selection": selection_id, "model": warehouse.digests.files(generation_files(model))}
    inputs |= evaluations(warehouse, settings)
    how = {name: getattr(settings.score, name) for name in ("template", "max_length", "dtype")}
    how |= {
        "seed": settings.seed,
        **drawing_settings(settings.sample),
        **rendering_setting(settings.score.template, model),
    }
    layout = {"device": settings.score.device, "part_items": settings.sample.part_items}
    return Recipe("targets", VERSION, inputs, how, layout)


def sample(warehouse: Warehouse, settings: Settings, selection_id: str) -> str:
    """Draw a model's answers to the rows of a selection, and return the targets id.

    Raises
    ------
    InputError
        If the model cannot be used.
    GateError
        If answers without a check cannot be judged; what was drawn to find out is kept.
    """
    from curate.engines.models.licence import model_licence

    plan = recipe(warehouse, settings, selection_id)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        rows = selected_rows(warehouse, warehouse.manifest("selection", selection_id)).combine_chunks()
        model = model_of(settings, selection_id)
        drawing = _Drawing(builder, settings, model)
        report = drawing.draw_all(rows)
        drawn = pa.concat_tables(builder.read_part("part", index) for index in range(builder.finished()))
        summary = summary_rows(rows["example_id"].to_pylist(), drawn)
        builder.write("summary", 0, pa.Table.from_pylist(summary, schema=TARGETS_SUMMARY), TARGETS_SUMMARY)
        about = {"model": model, "licence": model_licence(model), "not_used": unused(model)}
        facts = {**about, **counts(drawn, summary, settings.sample), **report}
        builder.finish({**facts, **({"workers": drawing.workers} if drawing.workers else {})}, drawing.peak_memory)
    return plan.id


class _Drawing:
    """Draws the parts of targets, those that are not finished."""

    def __init__(self, builder: Builder, settings: Settings, model: str) -> None:
        self._builder, self._settings, self._model = builder, settings, model
        self._decontamination = Decontamination(settings)
        self.workers: list[dict[str, Any]] = []
        """What each worker did."""
        self.peak_memory = 0
        """Of all workers together, in bytes."""

    def draw_all(self, rows: pa.Table) -> dict[str, Any]:
        """Draw the samples of all rows; return what was measured of the judge of answers without a check, if any."""
        size = self._settings.sample.part_items
        if self._settings.sample.accept not in CALIBRATED_BY:
            self._draw(0, rows.to_batches(max_chunksize=size), None)
            return {}
        first = calibration_rows(rows, self._settings)
        parts = first.to_batches(max_chunksize=size) if len(first) else []
        self._draw(0, parts, None)
        scorer, report = calibration(self._builder, self._settings, len(parts))
        others = rows.filter(pc.invert(pc.is_in(rows["example_id"], value_set=first["example_id"].combine_chunks())))
        self._draw(len(parts), others.combine_chunks().to_batches(max_chunksize=size) if len(others) else [], scorer)
        return {"calibration": report}

    def _draw(self, start: int, parts: Sequence[pa.RecordBatch], scorer: Scorer | None) -> None:
        """Draw the samples of parts, which are numbered from `start`."""
        settings = self._settings
        new = [(index, part) for index, part in enumerate(parts, start) if not self._builder.has("part", index)]
        rows = sum(map(len, parts))
        done = rows - sum(len(part) for _, part in new)
        task = sampling_task(settings, self._model, scorer)
        with open_parts(settings, task, len(new), settings.score.device, settings.score.workers) as pool:
            with progress.stage("sample", rows, done) as advance:
                for index, table in pool.run(new, advance):
                    if "state" in table.schema.names:  # before the part: a finished part has its states
                        self._builder.write("states", index, table.select(STATES.names), STATES)
                    samples = self._decontamination.of(pa.Table.from_batches([table]).select(TARGETS.names))
                    self._builder.write("part", index, samples, TARGETS)
        self.workers += pool.worker_summaries()
        self.peak_memory = max(self.peak_memory, pool.peak_memory)
