"""``curate plan``: what a run would make, what the warehouse has already, and what the rest would cost.

Ids are known before anything runs, since each is a digest of its inputs and settings. Loads no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import pipeline
from curate.flows.converted_models import with_converted
from curate.flows.demo.pair import is_demo
from curate.flows.operations.corpus_tokens import mean_row_tokens
from curate.flows.operations.plan_costs import Cost, piloting, recovering, sampling, scoring
from curate.flows.operations.recover import with_demo_training
from curate.flows.session import open_warehouse
from curate.flows.stages.selecting.request import SelectionRequest, resolve_request
from curate.flows.stages.selection import with_reference
from curate.flows.stages.stage import stage_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def plan(settings: Settings, *, with_recovery: bool = False) -> list[dict[str, Any]]:
    """Return one dict per stage and, if asked for, one each for samples of the selection and a recovery on it.

    Each has ``stage``, ``artefact`` id, ``state``, ``rows``, an ``estimate`` in words, and, where models run,
    ``seconds`` and ``memory_mb`` of the peak.

    Raises
    ------
    UsageError, InputError
        As the run itself raises for its settings, files and models, before computing anything.
    """
    warehouse, request, recipes = _predicted(settings)
    read = recipes["ingest"]
    rows = warehouse.manifest(read.noun, read.id).rows() if read.exists_in(warehouse) else None
    tokens = mean_row_tokens(warehouse, request.settings, read) if request.settings.compressed else None
    steps = [_describe(warehouse, verb, recipe, request.settings, rows, tokens) for verb, recipe in recipes.items()]
    return steps + (_after_selection(request.settings, rows, tokens) if with_recovery else [])


def existing_selection(settings: Settings) -> str | None:
    """Return the id of the selection that the settings lead to if all its stages are cached, else None."""
    warehouse, _, recipes = _predicted(settings)
    cached = all(recipe.exists_in(warehouse) for recipe in recipes.values())
    return recipes["select"].id if cached else None


def _predicted(settings: Settings) -> tuple[Warehouse, SelectionRequest, dict[str, Recipe]]:
    request = resolve_request(settings)
    warehouse = open_warehouse(settings)
    if is_demo(settings):
        request = request.with_settings(demo_settings(warehouse, settings))
    else:
        # The ids of scores are digests of safetensors, so that models in other formats are converted here already.
        request = request.with_settings(with_converted(warehouse, request.settings))
    return warehouse, request, predict_recipes(warehouse, request)


def predict_recipes(warehouse: Warehouse, request: SelectionRequest) -> dict[str, Recipe]:
    """Return the recipe of every stage that the selection needs, by verb, in the order of the pipeline."""
    recipes: dict[str, Recipe] = {}

    def predict(run: Callable[..., str], _: Warehouse, given: Any, *ids: str | None) -> str:
        stage = stage_of(run)
        if isinstance(given, SelectionRequest):
            given = with_reference(warehouse, given, recipes["ingest"].id)
        recipes[stage.verb] = stage.recipe(warehouse, given, *ids)
        return recipes[stage.verb].id

    pipeline.walk(warehouse, request, predict)
    return recipes


def demo_settings(warehouse: Warehouse, settings: Settings) -> Settings:
    """Return `settings` with the demo's corpus and pair; the original stands for a compressed model not made yet."""
    from curate.flows import demo

    pruned = sorted((warehouse.root / "models").glob("demo-*"))
    pair = {"original": str(demo.model_path()), "compressed": str(pruned[0] if pruned else demo.model_path())}
    return with_demo_training(settings.model_copy(update={"corpus": (str(demo.pool_path()),), **pair}))


def _describe(
    warehouse: Warehouse, name: str, step: Recipe, settings: Settings, rows: int | None, row_tokens: float | None
) -> dict[str, Any]:
    exists, cost = step.exists_in(warehouse), Cost("")
    if exists:
        cost = Cost(f"took {warehouse.manifest(step.noun, step.id).seconds:.1f} s")
    elif not rows:
        cost = Cost("unknown until the corpus is ingested" if name != "ingest" else "one pass over the files")
    elif name == "score" and row_tokens is not None:
        cost = scoring(settings, rows, row_tokens)
    elif name == "pilot" and row_tokens is not None:
        cost = piloting(warehouse, settings, step, row_tokens)
    else:
        parts = f" in {-(-rows // settings.ingest.part_rows):,} parts" if settings.engine == "ray" else ""
        words = {"embed": f"{rows:,} prompts{parts}", "cluster": f"neighbour graph of {rows:,} rows"}
        cost = Cost(words.get(name, "seconds"))
    return _step(name, step.id, "cached" if exists else "to do", rows, cost)


def _after_selection(settings: Settings, rows: int | None, row_tokens: float | None) -> list[dict[str, Any]]:
    """Return what samples of the selection and a recovery on it would cost, where there are models for them."""
    if settings.compressed is None or not rows or row_tokens is None:
        return []
    named = settings.sample.model
    model = getattr(settings, named) if named in ("original", "compressed") else named
    steps = [] if model is None else [("sample", sampling(settings, model, rows, row_tokens))]
    steps.append(("recover", recovering(settings, rows, row_tokens)))
    return [_step(verb, None, "after select", kept, cost) for verb, (kept, cost) in steps]


def _step(stage: str, artefact: str | None, state: str, rows: int | None, cost: Cost) -> dict[str, Any]:
    return {
        "stage": stage,
        "artefact": artefact,
        "state": state,
        "rows": rows,
        "estimate": cost.words,
        "seconds": cost.seconds,
        "memory_mb": cost.memory_mb,
    }
