"""Selection: everything known about the corpus → a decision, with its reason, for every example.

Reads arrays, calls one pure selector, writes the ledger. Loads no model.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.flows import progress
from curate.flows.stages.recipe import Recipe
from curate.flows.stages.selecting.pool import Upstream, read_pool
from curate.flows.stages.selecting.screening import Screened, evaluation_files, evaluations, screen, screened_by
from curate.flows.stages.selecting.solved import solved_source
from curate.flows.stages.selecting.target import score_target, target_scores_id
from curate.schemas.defaults import identifying
from curate.schemas.errors import InputError, UsageError, did_you_mean
from curate.schemas.selection import ALLOCATION, LEDGER, Decision, Pool
from curate.storage.maintenance.forgotten import forgotten

if TYPE_CHECKING:
    from curate.flows.stages.selecting.request import SelectionRequest
    from curate.schemas.artefacts import Manifest, Noun
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 3
INPUTS: tuple[Noun, ...] = ("corpus", "embeddings", "clusters", "scores", "pilots", "tokens")
"""Artefacts that the stage is called with, in this order."""
BASELINES = ("uniform", "length-matched", "full")
"""Methods that say nothing about what a good length is; ``length-matched`` does not match them unless told to."""


def with_reference(warehouse: Warehouse, request: SelectionRequest, corpus: str) -> SelectionRequest:
    """Return `request` with the full id of what the method refers to, where it refers to something in the warehouse.

    That is the selection that ``length-matched`` is to match, the import or the targets that ``by-signal``'s signal is
    read from, or the scores of the rows of ``--target``, which `choose` makes.

    Raises
    ------
    UsageError
        If there is none, or it was made from another corpus.
    """
    options = request.options
    if request.method == "length-matched":
        return request.with_option("like", _to_match(warehouse, options.like, corpus).id)
    if getattr(options, "target", ""):
        return request.with_option("target", target_scores_id(warehouse, request.settings, options.target))
    if request.method == "by-signal" and options.imported:
        return request.with_option("source", _import_of(warehouse, options.signal, options.source, corpus).id)
    if request.method == "by-signal" and options.sampled:
        return request.with_option("source", solved_source(warehouse, request.settings, options.signal, corpus))
    return request


def _to_match(warehouse: Warehouse, like: str, corpus: str) -> Manifest:
    if like:
        match = warehouse.find("selection", like)
        if match.inputs["corpus"] != corpus:
            raise UsageError(
                f"--like {match.id} was selected from another corpus ({match.inputs['corpus']}); name another"
            )
        return match
    others = [one for one in warehouse.list("selection") if one.settings["method"] not in BASELINES]
    others = [one for one in others if one.inputs["corpus"] == corpus]
    if not others:
        raise UsageError("length-matched needs a selection of this corpus to match; select with another method first")
    return others[0]


def _import_of(warehouse: Warehouse, signal: str, source: str, corpus: str) -> Manifest:
    candidates = [warehouse.find("scores", source)] if source else warehouse.list("scores")
    imports = [one for one in candidates if one.inputs["corpus"] == corpus and "signals" in one.facts]
    for one in imports:
        if signal in one.facts["signals"]:
            return one
    known = sorted({name for one in imports for name in one.facts["signals"]})
    raise UsageError(
        f"--signal {signal!r} was not imported for this corpus{did_you_mean(signal, known) if known else ''}; "
        "bring it in with `curate import-scores FILE`"
    )


def recipe(warehouse: Warehouse, request: SelectionRequest, *ids: str | None) -> Recipe:
    """Return what the selection is made of: its inputs (`INPUTS`), the method with its own settings, budget and seed.

    Rows that were forgotten since change it, whichever corpus they are of.
    """
    settings = request.settings
    how = {
        "method": request.method,
        "budget": str(request.budget),
        "options": _plain(identifying(request.options)),
        "pin": sorted(settings.select.pin),
        "exclude": sorted(settings.select.exclude),
        "seed": settings.seed,
    }
    if request.selector.version > 1:
        how["version"] = request.selector.version
    if gone := forgotten(warehouse.root):
        how["forgotten"] = list(gone)
    inputs = Upstream(*ids).inputs() | evaluations(warehouse, settings)  # type: ignore[arg-type]
    if target := getattr(request.options, "target", ""):
        inputs["target"] = target
    return Recipe("selection", VERSION, inputs, how | screened_by(settings))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def choose(warehouse: Warehouse, request: SelectionRequest, corpus: str, *ids: str | None) -> str:
    """Choose the rows to keep, write the ledger, and return the selection id.

    Parameters
    ----------
    corpus, *ids : str or None
        Ids of the artefacts in `INPUTS`, in that order; None for those that the method does not need.
    """
    path = getattr(request.options, "target", "")
    request = with_reference(warehouse, request, corpus)
    plan = recipe(warehouse, request, corpus, *ids)
    if plan.exists_in(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        if path:
            score_target(warehouse, request.settings, path)
        pool = read_pool(warehouse, Upstream(corpus, *ids), request.settings, request.needs, request.options)
        with progress.stage("select", len(pool)) as advance:
            screened = screen(warehouse, request.settings, corpus, pool)
            chosen = select_rows(warehouse, request, corpus, screened.pool)
            allocation = pa.Table.from_pylist(list(chosen.allocation), schema=ALLOCATION)
            builder.write("allocation", 0, allocation, ALLOCATION)
            builder.write("part", 0, ledger(plan.id, screened.pool, chosen, screened), LEDGER)
            advance(len(pool))
        for warning in chosen.warnings:
            progress.note(f"warning: {warning}")
        against = evaluation_files(request.settings)
        builder.finish(facts(screened.pool, chosen) | ({"decontaminated": against} if against else {}))
    return plan.id


def select_rows(warehouse: Warehouse, request: SelectionRequest, corpus: str, pool: Pool) -> Decision:
    """Return the method's selection from a pool, the budget resolved to a whole number of rows or tokens."""
    tokens = int((pool.n_prompt_tokens + pool.n_response_tokens).sum())
    quarantined = warehouse.manifest("corpus", corpus).facts["n_quarantined"]
    size = request.budget.resolve(len(pool), tokens, quarantined)
    rng = np.random.default_rng(request.settings.seed)
    chosen = request.selector.select(pool, size, request.budget.in_tokens, request.options, rng)
    if not len(chosen.order):
        raise InputError(_why_nothing_is_kept(pool, request))
    return chosen


def _why_nothing_is_kept(pool: Pool, request: SelectionRequest) -> str:
    """Return the sentence about a selection that would be empty."""
    if request.budget.in_tokens and pool.eligible.any():
        shortest = int((pool.n_prompt_tokens + pool.n_response_tokens)[pool.eligible].min())
        return (
            f"budget {request.budget} keeps no row: the shortest that may be kept has {shortest} tokens; "
            f"give at least {shortest}-tokens"
        )
    reasons = ", ".join(f"{reason} ({count})" for reason, count in Counter(pool.reason[~pool.eligible]).most_common(3))
    return (
        f"method {request.method!r} keeps none of the {len(pool)} examples{f': {reasons}' if reasons else ''}; "
        "choose another method, or look at the rows with `curate sql`"
    )


def ledger(selection_id: str, pool: Pool, chosen: Decision, screened: Screened) -> pa.Table:
    """Return the ledger: one row of ``LEDGER`` per example, in corpus order."""
    n = len(pool)
    rank = np.zeros(n, dtype=np.int32)
    rank[chosen.order] = np.arange(1, len(chosen.order) + 1)
    lost_to = np.where(chosen.related >= 0, pool.example_id[chosen.related], screened.related_id)
    return pa.table(
        {
            "selection_id": pa.array([selection_id] * n, pa.string()),
            "example_id": pa.array(pool.example_id),
            "kept": rank > 0,
            "rank": pa.array(rank, mask=rank == 0),
            "reason": pa.array(chosen.reason, pa.string()),
            "related_id": pa.array(lost_to, mask=lost_to == ""),
            "cluster": pa.nulls(n, pa.int32()) if pool.cluster is None else pa.array(pool.cluster, pa.int32()),
            "score": pa.array(chosen.score, pa.float64(), mask=np.isnan(chosen.score)),
            "overlap": pa.array(screened.overlap, mask=np.isnan(screened.overlap)),
            "group": pa.nulls(n, pa.string()) if pool.group is None else pa.array(pool.group.names).take(pool.group.of),
        },
        schema=LEDGER,
    )


def facts(pool: Pool, chosen: Decision) -> dict[str, Any]:
    """Return the counts that the catalog and the summary show."""
    tokens = pool.n_prompt_tokens + pool.n_response_tokens
    return {
        "n_examples": len(pool),
        "n_kept": len(chosen.order),
        "n_tokens_kept": int(tokens[chosen.order].sum()) if tokens.any() else None,
        "reasons": dict(sorted(Counter(chosen.reason.tolist()).items())),
        "warnings": list(chosen.warnings),
        **chosen.facts,
    }
