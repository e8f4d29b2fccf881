"""``curate plan``: what a run would make, what the warehouse has already, and what the rest would cost.

Ids are known before anything runs, since each is a digest of its inputs and settings. Loads no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import pipeline
from curate.flows.converted_models import with_converted
from curate.flows.demo.pair import is_demo
from curate.flows.operations.corpus_tokens import mean_row_tokens
from curate.flows.operations.planned_workers import planned_workers
from curate.flows.session import open_warehouse
from curate.flows.stages import pilots
from curate.flows.stages.selecting.request import SelectionRequest, resolve_request
from curate.flows.stages.selection import with_reference
from curate.flows.stages.stage import stage_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

TRAINING_FLOPS = 6
"""Operations per parameter and token of a forward and a backward pass."""


def plan(settings: Settings) -> list[dict[str, Any]]:
    """Return one dict per stage: ``stage``, ``artefact`` id, ``state``, ``rows`` and an ``estimate`` in words.

    Raises
    ------
    UsageError, InputError
        As the run itself raises for its settings, files and models, before computing anything.
    """
    request = resolve_request(settings)
    warehouse = open_warehouse(settings)
    if is_demo(settings):
        request = request.with_settings(demo_settings(warehouse, settings))
    else:
        # The ids of scores are digests of safetensors, so that models in other formats are converted here already.
        request = request.with_settings(with_converted(warehouse, request.settings))
    recipes = predict_recipes(warehouse, request)
    read = recipes["ingest"]
    rows = warehouse.manifest(read.noun, read.id).rows() if read.exists_in(warehouse) else None
    counted = any(verb in recipes and not recipes[verb].exists_in(warehouse) for verb in ("score", "pilot"))
    tokens = mean_row_tokens(warehouse, request.settings, read) if counted else None
    return [_describe(warehouse, verb, recipe, request.settings, rows, tokens) for verb, recipe in recipes.items()]


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
    return settings.model_copy(update={"corpus": (str(demo.pool_path()),), **pair})


def _describe(
    warehouse: Warehouse, name: str, step: Recipe, settings: Settings, rows: int | None, row_tokens: float | None
) -> dict[str, Any]:
    exists = step.exists_in(warehouse)
    estimate, memory = "", None
    if exists:
        estimate = f"took {warehouse.manifest(step.noun, step.id).seconds:.1f} s"
    elif not rows:
        estimate = "unknown until the corpus is ingested" if name != "ingest" else "one pass over the files"
    elif name == "score" and row_tokens is not None:
        estimate, memory = _scoring(settings, rows, row_tokens)
    elif name == "pilot" and row_tokens is not None:
        estimate = _piloting(warehouse, settings, step, row_tokens)
    else:
        parts = f" in {-(-rows // settings.ingest.part_rows):,} parts" if settings.engine == "ray" else ""
        words = {"embed": f"{rows:,} prompts{parts}", "cluster": f"neighbour graph of {rows:,} rows"}
        estimate = words.get(name, "seconds")
    return {
        "stage": name,
        "artefact": step.id,
        "state": "cached" if exists else "to do",
        "rows": rows,
        "estimate": estimate,
        "memory_mb": memory,
    }


def _scoring(settings: Settings, rows: int, row_tokens: float) -> tuple[str, int]:
    """Return the cost of scoring in words, and its peak memory in MiB, without loading a model."""
    from curate.engines.models.devices import dtype_bytes, pair_devices
    from curate.engines.score.config import ScoreConfig
    from curate.engines.score.memory import MIB, ScoringLoad, device_peak, model_size, predict_memory

    how = settings.score
    part_rows = min(rows, settings.ingest.part_rows)
    names = [model for model in (settings.original, settings.compressed) if model]
    models = [model_size(model) for model in names]
    workers = planned_workers(settings, -(-rows // part_rows), [weight_bytes(model) for model in names])
    load = ScoringLoad(
        device=workers.kind,
        threads=workers.threads,
        dtype_bytes=dtype_bytes(how.dtype, pair_devices(workers.device)[1]),
        batch_tokens=ScoreConfig(batch_tokens=how.batch_tokens, layers=how.layers).tokens_per_batch(workers.kind),
        part_rows=part_rows,
        row_tokens=row_tokens,
        longest=how.max_length,
        sequential=how.sequential,
        all_layers=how.layers == "all",
    )
    flops = 2 * sum(model.parameters for model in models) * rows * row_tokens
    memory = device_peak(predict_memory(models, load), workers.count, workers.kind) // MIB
    tokens = f"about {rows * row_tokens:,.0f} tokens, {flops:.1e} FLOPs over {len(models)} models"
    return f"{tokens}, {memory:,} MiB of memory at the peak{workers.where}", memory


def _piloting(warehouse: Warehouse, settings: Settings, step: Recipe, row_tokens: float) -> str:
    """Return the cost of the pilots in words."""
    from curate.engines.score.memory import model_size
    from curate.selectors.budgets.pilot_rows import LARGEST, pilot_sizes

    clusters = step.inputs["clusters"]
    if not warehouse.has("clusters", clusters):
        return f"three trainings on at most {LARGEST} rows for each cluster; their number is unknown until clustered"
    sizes = [pilot_sizes(size) for size in warehouse.read("clusters", clusters, "terms", ["size"])["size"].to_pylist()]
    rows = sum(map(sum, sizes))
    tokens = rows * pilots.PASSES * row_tokens
    flops = TRAINING_FLOPS * model_size(str(settings.compressed)).parameters * tokens
    return f"{sum(map(len, sizes)):,} trainings on {rows:,} rows in all, about {tokens:,.0f} tokens, {flops:.1e} FLOPs"


def weight_bytes(model: str) -> int:
    """Return the bytes of a model's weights."""
    from curate.engines.models.checkpoints import model_files

    return sum(path.stat().st_size for path in model_files(model) if path.suffix == ".safetensors")
