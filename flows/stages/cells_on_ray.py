"""Cells of a comparison on a Ray cluster: a worker trains and evaluates one, as many at once as there is room.

Selections are made before; tables are written here, as their cells are finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.flows import progress
from curate.flows.stages.comparison_cell import finish, recipe, training_facts
from curate.flows.stages.engine import open_on_ray
from curate.flows.stages.evaluating.tasks import evaluation_items
from curate.flows.stages.evaluation import Evaluated, evaluation_task, item_parts, write_summary
from curate.flows.stages.recovering.job_content import selected_rows
from curate.schemas.evaluation import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from curate.engines.cell_task import CellResult, CellTraining
    from curate.flows.stages.recipe import Recipe
    from curate.schemas.recovery import RecoveryRequest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class PlannedCell:
    """A cell that the warehouse lacks."""

    name: str
    """What progress and errors call it."""
    selection: str
    request: RecoveryRequest
    plan: Recipe


def run_cells_on_ray(
    warehouse: Warehouse, settings: Settings, cells: Mapping[str, tuple[str, RecoveryRequest]]
) -> None:
    """Train and evaluate the cells that the warehouse lacks; those that are finished before an error are kept.

    Parameters
    ----------
    cells : mapping of str to (str, RecoveryRequest)
        Selection and training of each, by its name.

    Raises
    ------
    CurateError
        As `curate.engines.workers.ray_pool.RayPool.run`, naming the cell.
    """
    missing = _missing(warehouse, settings, cells)
    if not missing:
        return
    from curate.engines.cell_task import CellTask

    items, _ = evaluation_items(warehouse, settings, None)
    evaluation = evaluation_task(settings, str(settings.compressed))
    task = CellTask(evaluation, str(settings.original), item_parts(settings, items))
    device = settings.score.device
    with open_on_ray(settings, task, len(missing), device, lambda index: f"cell {missing[index].name!r}") as pool:
        with progress.stage("compare") as advance:
            for done, (index, result) in enumerate(pool.run(_trainings(warehouse, missing), advance), 1):
                _write(warehouse, settings, items, missing[index], result)
                progress.note(f"cell {done} of {len(missing)} is done: {missing[index].name}")


def _missing(
    warehouse: Warehouse, settings: Settings, cells: Mapping[str, tuple[str, RecoveryRequest]]
) -> list[PlannedCell]:
    """Return the cells to compute; of several with one id, the first."""
    planned: dict[str, PlannedCell] = {}
    for name, (selection, request) in cells.items():
        plan = recipe(warehouse, settings, selection, request)
        if not plan.exists_in(warehouse):
            planned.setdefault(plan.id, PlannedCell(name, selection, request, plan))
    return list(planned.values())


def _trainings(warehouse: Warehouse, cells: Sequence[PlannedCell]) -> Iterator[tuple[int, CellTraining]]:
    """Yield what each cell trains on, when a worker is free."""
    from curate.engines.cell_task import CellTraining

    for index, cell in enumerate(cells):
        rows = selected_rows(warehouse, warehouse.manifest("selection", cell.selection))
        yield index, CellTraining(tuple(rows.to_batches()), cell.request)


def _write(warehouse: Warehouse, settings: Settings, items: pa.Table, cell: PlannedCell, result: CellResult) -> None:
    """Write what a worker sent, unless another process has made the same cell meanwhile."""
    with cell.plan.build(warehouse) as builder:
        if builder.done:
            return
        for index, table in result.tables.items():
            if not builder.has("part", index):
                builder.write("part", index, table, RESULTS)
        memory = round(result.worker["peak_memory_mb"] * 2**20)
        evaluated = Evaluated(*write_summary(builder, items, result.window), [result.worker], memory)
        training = training_facts(result.report, result.seconds_training, result.seconds_asking)
        finish(builder, settings, cell.selection, evaluated, training)
