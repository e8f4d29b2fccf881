"""``curate compare``: selection methods, each trained on the same number of tokens and evaluated on the same items.

The first method at the first budget, with the first recipe if several losses are compared, is the primary comparison;
all others are corrected for multiplicity. Uniform, length-matched (to the primary method) and the full corpus are
always included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from curate.flows import pipeline, progress, stages
from curate.flows.comparison.grid import FULL, MATCHED, OWN_EPOCHS, Cell, cells, method_of
from curate.flows.comparison.recipes import with_recipe
from curate.flows.comparison.report import original_scores, report, write
from curate.flows.demo.pair import is_demo
from curate.flows.session import session
from curate.flows.stages.cells_on_ray import run_cells_on_ray
from curate.flows.stages.evaluating.judge import check_judge
from curate.flows.stages.evaluating.tasks import DEMO, evaluation_items, normalised, prompt_of
from curate.flows.stages.recovering.request import request_of
from curate.flows.stages.selecting.request import resolve_request
from curate.schemas.budget import parse_budget
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from curate.flows.session import Session
    from curate.schemas.recovery import RecoveryRequest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

    CellIds = dict[Cell, tuple[str, str]]
    """Selection and evaluation of every cell."""

DEMO_RECIPE: dict[str, Any] = {"learning_rate": 1e-3, "batch": 32}
"""Training defaults on the demo: the published recipe is for far larger models."""


@dataclass(frozen=True)
class SharedInputs:
    """The artefacts and sizes that all cells of a comparison share."""

    corpus: str
    scores: str
    tokens: int
    """Prompt and response tokens of the whole corpus, after truncation."""
    examples: int
    exclude: tuple[str, ...]
    """Rows of the pool that are evaluation items, never trained on."""


def compare(settings: Settings) -> dict[str, Any]:
    """Run every cell that is missing, and return the report, which is also written to the warehouse.

    Raises
    ------
    UsageError
        If a method, an option or a budget is not valid, or there are no tasks.
    InputError
        If there is no pair of models.
    """
    todo = cells(settings)
    check_judge(settings)
    settings = prepared(settings)
    with session("compare", settings) as run:
        settings = run.settings
        _check(settings)
        original = run.call(stages.evaluate, run.warehouse, settings, settings.original, None, {})
        original_known = original_scores(run.warehouse, original, settings.evaluate.metric)
        compressed = run.call(stages.evaluate, run.warehouse, settings, settings.compressed, None, {})
        inputs = prepare_inputs(run, settings)
        run_cells = _cells_on_ray if settings.engine == "ray" else _cells_here
        cell_ids = run_cells(run, settings, inputs, todo)
        result = report(run.warehouse, settings, cell_ids, original_known, compressed, len(inputs.exclude))
        result["files"] = [str(path) for path in write(run.warehouse, result)]
    return result


def prepared(settings: Settings) -> Settings:
    """Return `settings` with the demo's tasks and training where none were given."""
    if not is_demo(settings):
        return settings
    recipe = {name: value for name, value in DEMO_RECIPE.items() if getattr(settings.recover, name) is None}
    evaluate = settings.evaluate
    if not evaluate.tasks:
        evaluate = evaluate.model_copy(update={"tasks": (DEMO,)})
    return settings.model_copy(update={"evaluate": evaluate, "recover": settings.recover.model_copy(update=recipe)})


def _check(settings: Settings) -> None:
    if settings.original is None or settings.compressed is None:
        raise InputError(
            "a comparison needs the original and the compressed model; pass --original FOLDER and --compressed FOLDER"
        )
    if not settings.evaluate.tasks:
        raise UsageError("a comparison needs evaluation tasks; pass --tasks FILE, rows that are not in the corpus")


def prepare_inputs(run: Session, settings: Settings) -> SharedInputs:
    """Ingest and score the corpus, and find the rows that must not be trained on."""
    corpus = run.call(stages.ingest, run.warehouse, settings)
    scores = run.call(stages.score, run.warehouse, settings, corpus)
    return read_inputs(run.warehouse, settings, corpus, scores)


def read_inputs(warehouse: Warehouse, settings: Settings, corpus: str, scores: str) -> SharedInputs:
    """Return what all cells share, from existing artefacts."""
    table = warehouse.read("scores", scores, columns=["n_prompt_tokens", "n_response_tokens"])
    tokens = sum(int(column.to_numpy().sum()) for column in table.columns)
    return SharedInputs(corpus, scores, tokens, len(table), contaminated(warehouse, settings, corpus))


def contaminated(warehouse: Warehouse, settings: Settings, corpus: str) -> tuple[str, ...]:
    """Return the ids of the rows whose prompt is an evaluation item; none with --no-decontaminate."""
    if not settings.evaluate.decontaminate:
        return ()
    items, _ = evaluation_items(warehouse, settings, None)
    questions = {prompt_of(messages) for messages in items["messages"].to_pylist()} - {""}
    rows = warehouse.read("corpus", corpus, columns=["example_id", "prompt"]).to_pylist()
    return tuple(row["example_id"] for row in rows if normalised(row["prompt"]) in questions)


def _cells_here(run: Session, settings: Settings, inputs: SharedInputs, todo: list[Cell]) -> CellIds:
    """Select, train and evaluate one cell after the other; return the ids of selection and evaluation."""
    cell_ids: CellIds = {}
    for number, cell in enumerate(todo, 1):
        progress.note(f"cell {number} of {len(todo)}: {cell.name}")
        chosen, request = _chosen(run, settings, inputs, cell, cell_ids)
        cell_ids[cell] = (chosen, run.call(stages.trial, run.warehouse, settings, chosen, request))
    return cell_ids


def _cells_on_ray(run: Session, settings: Settings, inputs: SharedInputs, todo: list[Cell]) -> CellIds:
    """Select here for every cell, then train and evaluate several at once; return as `_cells_here`."""
    planned: dict[Cell, tuple[str, RecoveryRequest]] = {}
    for cell in todo:
        planned[cell] = _chosen(run, settings, inputs, cell, planned)
    run_cells_on_ray(run.warehouse, settings, {cell.name: chosen for cell, chosen in planned.items()})
    # All are there now, so that each call records its cell in the run and returns.
    return {
        cell: (chosen, run.call(stages.trial, run.warehouse, settings, chosen, request))
        for cell, (chosen, request) in planned.items()
    }


def _chosen(
    run: Session, settings: Settings, inputs: SharedInputs, cell: Cell, earlier: Mapping[Cell, tuple[str, Any]]
) -> tuple[str, RecoveryRequest]:
    """Select for one cell; return the selection and the training. `earlier` has the selections of cells before it."""
    primary = replace(cell, arm=settings.compare.methods[0])
    like = earlier[primary][0] if cell.arm == MATCHED and primary in earlier else ""
    chosen = pipeline.run(run.warehouse, resolve_request(selecting(settings, inputs, cell, like)), run.call)
    return chosen, training(settings, inputs, cell, tokens_kept(run.warehouse, chosen, inputs.scores))


def selecting(settings: Settings, inputs: SharedInputs, cell: Cell, like: str = "") -> Settings:
    """Return the settings of a cell's selection."""
    method, options = method_of(FULL if cell.arm == OWN_EPOCHS else cell.arm)
    options |= {"like": like} if like else {}
    exclude = tuple(dict.fromkeys((*settings.select.exclude, *inputs.exclude)))
    chosen = {"method": method, "budget": cell.budget, "options": options, "exclude": exclude}
    select = settings.select.model_copy(update=chosen)
    return settings.model_copy(update={"select": select, "seed": cell.seed})


def tokens_kept(warehouse: Warehouse, selection: str, scores: str) -> int:
    """Return the prompt and response tokens of the rows that a selection keeps, after truncation."""
    kept = warehouse.read("selection", selection, columns=["kept"])["kept"].to_numpy(zero_copy_only=False)
    table = warehouse.read("scores", scores, columns=["n_prompt_tokens", "n_response_tokens"])
    return sum(int(column.to_numpy()[kept].sum()) for column in table.columns)


def training(settings: Settings, inputs: SharedInputs, cell: Cell, kept: int) -> RecoveryRequest:
    """Return the training request of a cell: as many tokens as every other cell of its budget, whatever its rows are.

    Parameters
    ----------
    kept : int
        Tokens of the cell's selection.
    """
    recover = with_recipe(settings.recover, cell.recipe)
    request = request_of(settings.model_copy(update={"seed": cell.seed, "recover": recover}))
    passes = 1.0 if cell.arm == OWN_EPOCHS else budget_tokens(cell.budget, inputs) / kept
    return replace(request, epochs=round(request.epochs * passes, 6), merge=True)


def budget_tokens(budget: str, inputs: SharedInputs) -> float:
    """Return a budget in tokens: its share of the corpus's tokens, or its own number."""
    parsed = parse_budget(budget)
    amount = parsed.resolve(inputs.examples, inputs.tokens)
    return float(amount) if parsed.in_tokens else amount / inputs.examples * inputs.tokens
