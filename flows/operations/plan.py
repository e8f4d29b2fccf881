"""``curate plan``: what a run would make, what the warehouse has already, and what the rest would cost.

Ids are known before anything runs, since each is a digest of its causes. Loads no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows import pipeline
from curate.flows.demo.pair import is_demo
from curate.flows.stages import clusters, corpus, embeddings, pilots, scores, selection
from curate.flows.stages.selecting.pool import Upstream
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings

CHARACTERS_PER_TOKEN = 4.0
"""Of English text under the tokenizers in use; a tiny vocabulary needs more tokens."""
TRAINING_FLOPS = 6
"""Operations per parameter and token of a forward and a backward pass."""


def plan(settings: Settings) -> list[dict[str, Any]]:
    """Return one dict per stage: ``stage``, ``artefact`` id, ``state``, ``rows`` and an ``estimate`` in words.

    Raises
    ------
    UsageError, InputError
        What the run itself would say of its settings, its files and its models, before computing anything.
    """
    needs = pipeline.needed(settings)
    warehouse = Warehouse(settings.warehouse)
    if is_demo(settings):
        settings = demo_settings(warehouse, settings)
    steps: list[tuple[str, Recipe]] = [("ingest", corpus.recipe(warehouse, settings))]
    read = steps[0][1].id
    up: dict[str, str | None] = {"embeddings": None, "clusters": None, "scores": None, "pilots": None}
    if "embeddings" in needs:
        steps.append(("embed", embeddings.recipe(warehouse, settings, read)))
        up["embeddings"] = steps[-1][1].id
    if "clusters" in needs:
        steps.append(("cluster", clusters.recipe(warehouse, settings, read, str(up["embeddings"]))))
        up["clusters"] = steps[-1][1].id
    if "scores" in needs:
        steps.append(("score", scores.recipe(warehouse, settings, read)))
        up["scores"] = steps[-1][1].id
    if "pilots" in needs:
        steps.append(("pilot", pilots.recipe(warehouse, settings, read, str(up["clusters"]), str(up["scores"]))))
        up["pilots"] = steps[-1][1].id
    settings = selection.with_reference(warehouse, settings, read)
    steps.append(("select", selection.recipe(warehouse, settings, Upstream(read, **up))))
    characters, rows = corpus_size(warehouse, steps[0][1])
    return [_told(warehouse, name, step, settings, rows, characters) for name, step in steps]


def demo_settings(warehouse: Warehouse, settings: Settings) -> Settings:
    """Return `settings` with the demo's corpus and pair; the original stands for a compressed model not made yet."""
    from curate.flows import demo

    pruned = sorted((warehouse.root / "models").glob("demo-*"))
    pair = {"original": str(demo.model_path()), "compressed": str(pruned[0] if pruned else demo.model_path())}
    return settings.model_copy(update={"corpus": (str(demo.pool_path()),), **pair})


def corpus_size(warehouse: Warehouse, read: Recipe) -> tuple[int | None, int | None]:
    """Return characters and examples of a corpus that is ingested, else two Nones."""
    if not read.is_made(warehouse):
        return None, None
    import pyarrow.compute as pc

    text = warehouse.read("corpus", read.id, columns=["prompt", "response"])
    lengths = [pc.sum(pc.utf8_length(text[name])).as_py() or 0 for name in ("prompt", "response")]
    return sum(lengths), text.num_rows


def _told(
    warehouse: Warehouse, name: str, step: Recipe, settings: Settings, rows: int | None, characters: int | None
) -> dict[str, Any]:
    made = step.is_made(warehouse)
    estimate, memory = "", None
    if made:
        estimate = f"took {warehouse.manifest(step.noun, step.id).seconds:.1f} s"
    elif rows is None or characters is None:
        estimate = "unknown until the corpus is ingested" if name != "ingest" else "one pass over the files"
    elif name == "score":
        estimate, memory = _scoring(settings, rows, characters)
    elif name == "pilot":
        estimate = _piloting(warehouse, settings, step, characters / rows)
    else:
        words = {"embed": f"{rows:,} prompts", "cluster": f"neighbour graph of {rows:,} rows"}
        estimate = words.get(name, "seconds")
    return {
        "stage": name,
        "artefact": step.id,
        "state": "cached" if made else "to do",
        "rows": rows,
        "estimate": estimate,
        "memory_mb": memory,
    }


def _scoring(settings: Settings, rows: int, characters: int) -> tuple[str, int]:
    """Return the cost of scoring in words, and its peak memory in MiB, without loading a model."""
    from curate.engines.models.devices import number_bytes, pair_devices, threads, worker_devices
    from curate.engines.score.memory import MIB, model_size, predict, shared_peak

    how = settings.score
    _, device = pair_devices(how.device)
    part_rows = min(rows, settings.ingest.part_rows)
    workers = min(len(worker_devices(how.device, how.workers)), -(-rows // part_rows))
    models = [model_size(model) for model in (settings.original, settings.compressed) if model]
    row_tokens = min(characters / rows / CHARACTERS_PER_TOKEN, how.max_length)
    pieces = predict(
        models,
        device=device.type,
        threads=max(1, (settings.threads or threads()) // workers),
        number_bytes=number_bytes(how.dtype, device),
        batch_tokens=how.batch_tokens,
        part_rows=part_rows,
        row_tokens=row_tokens,
        longest=how.max_length,
        sequential=how.sequential,
        every_layer=how.layers == "all",
    )
    flops = 2 * sum(model.parameters for model in models) * rows * row_tokens
    memory = shared_peak(pieces, workers, device.type) // MIB
    told = f"about {rows * row_tokens:,.0f} tokens, {flops:.1e} FLOPs over {len(models)} models"
    where = (
        f"on {device.type}" if workers == 1 or device.type == "cpu" else f"on each of {workers} {device.type} devices"
    )
    shared = f" of {workers} workers" if workers > 1 else ""
    return f"{told}, {memory:,} MiB of memory at the peak{shared} {where}", memory


def _piloting(warehouse: Warehouse, settings: Settings, step: Recipe, row_characters: float) -> str:
    """Return the cost of the pilots in words."""
    from curate.engines.score.memory import model_size
    from curate.selectors.budgets.pilot_rows import LARGEST, pilot_sizes

    made = step.inputs["clusters"]
    if not warehouse.has("clusters", made):
        return f"three trainings on at most {LARGEST} rows for each cluster; their number is unknown until clustered"
    sizes = [pilot_sizes(size) for size in warehouse.read("clusters", made, "terms", ["size"])["size"].to_pylist()]
    rows = sum(map(sum, sizes))
    tokens = rows * pilots.PASSES * min(row_characters / CHARACTERS_PER_TOKEN, settings.score.max_length)
    flops = TRAINING_FLOPS * model_size(str(settings.compressed)).parameters * tokens
    return f"{sum(map(len, sizes)):,} trainings on {rows:,} rows in all, about {tokens:,.0f} tokens, {flops:.1e} FLOPs"


def weight_bytes(model: str) -> int:
    """Return the bytes of a model's weights."""
    from curate.engines.models.checkpoints import model_files

    return sum(path.stat().st_size for path in model_files(model) if path.suffix == ".safetensors")
