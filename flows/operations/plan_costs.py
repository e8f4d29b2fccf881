"""Costs of the stages that run a model, before one is loaded: operations, seconds on this machine, peak memory.

Operations follow from the parameters and the tokens; seconds from them and the rate of matrix products of the model's
shape, which is measured for a fifth of a second. ``curate recover --dry-run`` measures a whole training step instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from curate.flows.operations.planned_workers import planned_workers
from curate.flows.stages import pilots
from curate.flows.stages.recovering.request import request_of
from curate.schemas.budget import parse_budget

if TYPE_CHECKING:
    from curate.engines.score.memory import ModelSize
    from curate.flows.stages.recipe import Recipe
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

FORWARD = 2
"""Operations per parameter and token of a forward pass."""
TRAINING = {"full": 6}
"""The same of a forward and a backward pass; see `LOW_RANK`."""
LOW_RANK = 4
"""The same where the weights are frozen: their own gradients, a third of the arithmetic, are not computed."""


@dataclass(frozen=True)
class Cost:
    """Cost of a stage."""

    words: str
    seconds: float | None = None
    memory_mb: int | None = None
    """Peak of a process or a device, in MiB."""


def scoring(settings: Settings, rows: int, row_tokens: float) -> Cost:
    """Return the cost of scoring."""
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
    flops = FORWARD * sum(model.parameters for model in models) * rows * row_tokens
    memory = device_peak(predict_memory(models, load), workers.count, workers.kind) // MIB
    words = f"about {rows * row_tokens:,.0f} tokens, {flops:.1e} FLOPs over {len(models)} models"
    words += f"; memory at the peak{workers.where}"
    # Threads of one CPU are shared by its workers; a device of its own is as fast as the first.
    at_once = 1 if workers.kind == "cpu" else workers.count
    return Cost(words, flops / _rate(settings, models[-1]) / at_once, memory)


def piloting(warehouse: Warehouse, settings: Settings, step: Recipe, row_tokens: float) -> Cost:
    """Return the cost of the pilots."""
    from curate.engines.score.memory import model_size
    from curate.selectors.budgets.pilot_rows import LARGEST, pilot_sizes

    clusters = step.inputs["clusters"]
    if not warehouse.has("clusters", clusters):
        return Cost(f"three trainings on at most {LARGEST} rows for each cluster; their number is unknown yet")
    sizes = [pilot_sizes(size) for size in warehouse.read("clusters", clusters, "terms", ["size"])["size"].to_pylist()]
    rows = sum(map(sum, sizes))
    tokens, model = rows * pilots.PASSES * row_tokens, model_size(str(settings.compressed))
    flops = training_operations(settings) * model.parameters * tokens
    seconds = flops / _rate(settings, model)
    trainings = f"{sum(map(len, sizes)):,} trainings on {rows:,} rows in all"
    return Cost(f"{trainings}, about {tokens:,.0f} tokens, {flops:.1e} FLOPs", seconds)


def recovering(settings: Settings, rows: int, row_tokens: float) -> tuple[int, Cost]:
    """Return how many rows a recovery trains on, and its cost."""
    from curate.engines.models.devices import dtype_bytes, resolve_device
    from curate.engines.recover.training.memory import TrainingLoad, predict_training_memory
    from curate.engines.score.memory import MIB, model_size

    request, model = request_of(settings), model_size(str(settings.compressed))
    kept = _kept(settings, rows, row_tokens)
    tokens = kept * row_tokens * request.epochs
    flops = training_operations(settings) * model.parameters * tokens
    if request.asks_original and settings.original:
        flops += FORWARD * model_size(settings.original).parameters * kept * row_tokens
    worker = planned_workers(settings, 1, []) if settings.engine == "ray" else None
    device = resolve_device(worker.device if worker else request.device)
    kind = worker.kind if worker else device.type
    load = TrainingLoad(
        device=kind,
        weight_bytes=dtype_bytes(request.dtype, device) or 2,
        method=request.method,
        rank=request.rank,
        batch_tokens=request.batch_tokens,
        step_tokens=min(kept, request.step_rows(kept)) * row_tokens,
        gradient_checkpointing=request.gradient_checkpointing,
    )
    memory = sum(predict_training_memory(model, load).values()) // MIB
    seconds = flops / _rate(settings, model)
    where = f"{kind}{', by one worker of the cluster' if worker else ''}"
    return kept, Cost(f"about {tokens:,.0f} tokens, {flops:.1e} FLOPs on {where}", seconds, memory)


def sampling(settings: Settings, model: str, rows: int, row_tokens: float) -> tuple[int, Cost]:
    """Return how many rows are sampled, and the cost if all samples of each are drawn, answers as long as the corpus's.

    Parameters
    ----------
    model : str
        Folder or hub name of the model that answers.
    """
    from curate.engines.models.devices import dtype_bytes, pair_devices
    from curate.engines.sample.memory import SamplingLoad, predict_sampling_memory
    from curate.engines.score.memory import MIB, device_peak, model_size

    how, size, kept = settings.score, model_size(model), _kept(settings, rows, row_tokens)
    workers = planned_workers(settings, -(-kept // settings.sample.part_items), [weight_bytes(model)])
    load = SamplingLoad(
        device=workers.kind,
        dtype_bytes=dtype_bytes(how.dtype, pair_devices(workers.device)[1]),
        rows=kept,
        # Rows are batched by length: the longest are together, here taken as twice the mean.
        prompt_tokens=min(2 * row_tokens, how.max_length),
        new_tokens=settings.sample.max_new_tokens,
    )
    least = kept * row_tokens
    flops = FORWARD * size.parameters * least * settings.sample.best_of
    pieces = predict_sampling_memory(size, load)
    words = (
        f"1 to {settings.sample.best_of} samples a row, {least:,.0f} to {least * settings.sample.best_of:,.0f} tokens, "
    )
    words += f"at most {flops:.1e} FLOPs{workers.where}"
    at_once = 1 if workers.kind == "cpu" else workers.count
    memory = device_peak(pieces, workers.count, workers.kind) // MIB
    return kept, Cost(words, flops / _rate(settings, size) / at_once, memory)


def _kept(settings: Settings, rows: int, row_tokens: float) -> int:
    """Return how many rows the selection keeps of as many rows of mean length."""
    budget = parse_budget(settings.select.budget)
    resolved = budget.resolve(rows, int(rows * row_tokens))
    return max(1, round(resolved / row_tokens)) if budget.in_tokens else resolved


def training_operations(settings: Settings) -> int:
    """Return the operations per parameter and token of a step of training."""
    return TRAINING.get(settings.recover.method, LOW_RANK)


def _rate(settings: Settings, model: ModelSize) -> float:
    """Return the operations per second of this machine on matrices of the model's shape."""
    from curate.engines.models.devices import cpu_threads, pair_devices, resolve_dtype
    from curate.engines.models.speed import operations_per_second

    # A cluster may have devices that this machine lacks.
    _, device = pair_devices("auto" if settings.engine == "ray" else settings.score.device)
    dtype, threads = resolve_dtype(settings.score.dtype, device), settings.threads or cpu_threads()
    return operations_per_second(model.width, model.inner, device, dtype, threads)


def weight_bytes(model: str) -> int:
    """Return the bytes of a model's weights."""
    from curate.engines.models.checkpoints import model_files

    return sum(path.stat().st_size for path in model_files(model) if path.suffix == ".safetensors")
