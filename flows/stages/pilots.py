"""Pilots stage: clusters, scores and a compressed model → loss recovered by training on each cluster, and gain curves.

For every cluster the compressed model is trained a few times on a few of its rows, with the training of a recovery, and
measured on other rows of the same cluster; the models are discarded. Run only if a selection allocates its budget by
recoverability. Each part holds one cluster, so a killed run resumes at the next cluster.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.recovering.heldout import conversations
from curate.flows.stages.recovering.request import request_of
from curate.flows.stages.recovery import PLACE
from curate.flows.stages.rendering import rendering_setting
from curate.flows.stages.selecting.pool import Upstream, read_pool
from curate.schemas.errors import InputError
from curate.schemas.layer_choice import ALL
from curate.schemas.pilots import CURVES, LOSSES, PILOTS
from curate.selectors.budgets.gain_curves import PilotLosses, cluster_curve, pooled_curve
from curate.selectors.budgets.pilot_rows import LEAST, draw_pilots
from curate.storage.maintenance.forgotten import forgotten

if TYPE_CHECKING:
    from curate.engines.recover.pilots import PilotResult
    from curate.schemas.recovery import RecoveryRequest
    from curate.schemas.selection import Pool
    from curate.schemas.settings import Settings
    from curate.selectors.budgets.gain_curves import GainCurve
    from curate.selectors.budgets.pilot_rows import PilotRows
    from curate.storage.warehouse.builder import Builder
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 1
PASSES = 2.0
BATCH = 8
"""Largest number of rows of one step. With the batch of a recovery a pilot of a dozen rows would take one step a pass,
while in a recovery these rows, mixed with others, are spread over many steps."""
NOT_MEASURED = (*PLACE, "merge", "save_dtype", "reconstruct", "teacher_weight", "trust_remote_code")
"""Fields of a request that do not change what a pilot measures, or that pilots do not use."""


def pilot_request(settings: Settings) -> RecoveryRequest:
    """Return the training settings of pilots: those of the recovery in small steps, no reconstruction, no teacher."""
    request = request_of(settings)
    small = replace(request, epochs=PASSES, batch=min(request.batch or BATCH, BATCH))
    plain = replace(small, reconstruct=False, teacher_weight=0.0, teacher_top=None, token_share=1.0)
    return replace(plain, prompts=False, reweigh_steps=None, layers=ALL, elastic=())


def recipe(warehouse: Warehouse, settings: Settings, corpus_id: str, clusters_id: str, scores_id: str) -> Recipe:
    """Return the recipe of pilots: corpus, clusters, scores, both models, the training settings and the seed.

    Raises
    ------
    InputError
        If no model was given, or one cannot be used.
    """
    from curate.engines.models.checkpoints import model_files

    if settings.compressed is None or settings.original is None:
        raise InputError(
            "--allocation recoverability trains the compressed model and needs scores of the original too; "
            "pass --compressed FOLDER and --original FOLDER"
        )
    inputs = {"corpus": corpus_id, "clusters": clusters_id, "scores": scores_id}
    for role, model in (("compressed", settings.compressed), ("original", settings.original)):
        inputs[role] = warehouse.digests.files(model_files(model))
    training = {name: value for name, value in pilot_request(settings).to_json().items() if name not in NOT_MEASURED}
    how: dict[str, Any] = {"recovery": training, "exclude": sorted(settings.select.exclude), "seed": settings.seed}
    how |= rendering_setting(settings.score.template, settings.original, settings.compressed)
    # Added only if there are any, so that artefacts of a warehouse without forgotten examples keep their ids.
    if forgotten_ids := forgotten(warehouse.root):
        how["forgotten"] = list(forgotten_ids)
    return Recipe("pilots", VERSION, inputs, how, {"device": settings.score.device})


def pilot(warehouse: Warehouse, settings: Settings, corpus_id: str, clusters_id: str, scores_id: str) -> str:
    """Run the pilots of every cluster, fit the gain curves, and return the pilots id.

    Raises
    ------
    InputError
        If no cluster has enough usable rows.
    """
    plan = recipe(warehouse, settings, corpus_id, clusters_id, scores_id)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        pool = read_pool(warehouse, Upstream(corpus_id, None, clusters_id, scores_id), settings, frozenset())
        drawn, usable = draw_pilots(pool, settings.seed)
        if not drawn:
            raise InputError(
                f"no cluster has the {LEAST} usable rows that pilots need (the largest has {max(usable.values())}); "
                "use --allocation degradation, or fewer --clusters"
            )
        _train(builder, warehouse, settings, plan, pool, drawn)
        builder.write("curves", 0, _curves(builder, drawn, usable, settings.seed), CURVES)
        builder.finish(_facts(builder, drawn, usable))
    return plan.id


def _train(
    builder: Builder, warehouse: Warehouse, settings: Settings, plan: Recipe, pool: Pool, drawn: list[PilotRows]
) -> None:
    """Train the pilots of every unfinished cluster and write their losses."""
    from curate.engines.recover.pilots import run_pilots

    texts = conversations(warehouse, plan.inputs["corpus"])
    scored = warehouse.manifest("scores", plan.inputs["scores"]).facts.get("template_digest")
    request, finished = pilot_request(settings), builder.finished()
    rows = [sum(one.sizes) for one in drawn]
    with progress.stage("pilot", sum(rows), sum(rows[:finished])) as advance:
        for index, one in enumerate(drawn[finished:], finished):
            result = run_pilots(
                str(settings.compressed),
                texts.take(one.rows).to_batches(),
                texts.take(one.heldout).to_batches(),
                one.sizes,
                request,
                original=settings.original,
                template_digest=scored,
            )
            # The part counts as finished, so it is written after the losses that belong to it.
            builder.write("losses", index, _losses(one, pool, result), LOSSES)
            builder.write("part", index, _summary(one, result), PILOTS)
            advance(rows[index])


def _losses(one: PilotRows, pool: Pool, result: PilotResult) -> pa.Table:
    """Return a row of ``LOSSES`` for each pilot and held-out row."""
    s, m = result.after.shape
    return pa.table(
        {
            "cluster": np.full(s * m, one.cluster),
            "rows": np.repeat(one.sizes, m),
            "example_id": np.tile(pool.example_id[one.heldout], s).tolist(),
            "n_tokens": np.tile(result.n_tokens, s),
            "before": np.tile(result.before, s),
            "after": result.after.ravel(),
        },
        schema=LOSSES,
    )


def _summary(one: PilotRows, result: PilotResult) -> pa.Table:
    """Return a row of ``PILOTS`` for each pilot."""
    s, m = result.after.shape
    tokens = int(result.n_tokens.sum())
    return pa.table(
        {
            "cluster": np.full(s, one.cluster),
            "rows": list(one.sizes),
            "tokens": list(result.trained_tokens),
            "loss_before": np.full(s, result.before.sum() / tokens),
            "loss_after": result.after.sum(axis=1) / tokens,
            "heldout_rows": np.full(s, m),
            "heldout_tokens": np.full(s, tokens),
        },
        schema=PILOTS,
    )


def _curves(builder: Builder, drawn: list[PilotRows], usable: dict[int, int], seed: int) -> pa.Table:
    """Return a row of ``CURVES`` for each cluster, fitted to the stored losses."""
    losses = {one.cluster: _read(builder, index, one) for index, one in enumerate(drawn)}
    pooled = pooled_curve(list(losses.values()), seed)
    rows = [
        {"cluster": number, "usable": count, "pooled": number not in losses}
        | _with_bounds(cluster_curve(losses[number], seed) if number in losses else pooled)
        for number, count in sorted(usable.items())
    ]
    return pa.Table.from_pylist(rows, schema=CURVES)


def _read(builder: Builder, index: int, one: PilotRows) -> PilotLosses:
    """Return the losses of the pilots of a cluster from its stored part."""
    table = builder.read_part("losses", index)
    n_tokens, before, after = (
        table[name].to_numpy().reshape(len(one.sizes), -1) for name in ("n_tokens", "before", "after")
    )
    return PilotLosses(np.array(one.sizes), n_tokens[0], before[0], after)


def _with_bounds(curve: GainCurve) -> dict[str, float]:
    suffixes = ("", "_low", "_high")
    return {
        f"{name}{suffix}": value
        for name in ("ceiling", "tau")
        for suffix, value in zip(suffixes, getattr(curve, name), strict=True)
    }


def _facts(builder: Builder, drawn: list[PilotRows], usable: dict[int, int]) -> dict[str, Any]:
    """Return the counts that determine the cost of the pilots."""
    pilots = pa.concat_tables(builder.read_part("part", index) for index in range(len(drawn)))
    return {
        "n_clusters": len(usable),
        "n_piloted": len(drawn),
        "n_pilots": len(pilots),
        "rows_trained": sum(pilots["rows"].to_pylist()),
        "tokens": sum(pilots["tokens"].to_pylist()),
    }
