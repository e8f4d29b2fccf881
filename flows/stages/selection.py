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
from curate.flows.stages.selecting.screening import Screened, evaluations, reads, screen, screened_by
from curate.schemas.budget import parse_budget
from curate.schemas.errors import UsageError, did_you_mean
from curate.schemas.selection import ALLOCATION, LEDGER, Pool, Selection
from curate.storage.maintenance.forgotten import forgotten

if TYPE_CHECKING:
    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

VERSION = 3
BASELINES = ("uniform", "length-matched", "full")
"""Methods that say nothing about what a good length is; ``length-matched`` does not match them unless told to."""


def method_settings(settings: Settings) -> Any:
    """Return the frozen settings of the chosen method.

    Raises
    ------
    UsageError
        If the method is unknown, or an option is not one of its own.
    """
    from dataclasses import fields

    from curate.selectors.registry import selector

    method, given = settings.select.method, settings.select.options
    entry = selector(method)
    known = [item.name for item in fields(entry.settings)]
    for name in given:
        if name not in known:
            its = (
                "its options are " + ", ".join("--" + one.replace("_", "-") for one in known)
                if known
                else "it has none"
            )
            raise UsageError(f"--{name.replace('_', '-')} does not apply to method {method!r}; {its}")
    return entry.settings(**given)


def with_reference(warehouse: Warehouse, settings: Settings, corpus: str) -> Settings:
    """Return `settings` with the full id of what the method refers to, where it refers to something in the warehouse.

    That is the selection that ``length-matched`` is to match, or the import that holds ``by-signal``'s signal.

    Raises
    ------
    UsageError
        If there is none, or it was made from another corpus.
    """
    how = method_settings(settings)
    if settings.select.method == "length-matched":
        return _with_option(settings, "like", _to_match(warehouse, how.like, corpus).id)
    if settings.select.method == "by-signal" and how.imported:
        return _with_option(settings, "source", _import_of(warehouse, how.signal, how.source, corpus).id)
    return settings


def _with_option(settings: Settings, name: str, value: str) -> Settings:
    options = settings.select.options | {name: value}
    return settings.model_copy(update={"select": settings.select.model_copy(update={"options": options})})


def _to_match(warehouse: Warehouse, like: str, corpus: str) -> Manifest:
    if like:
        found = warehouse.find("selection", like)
        if found.inputs["corpus"] != corpus:
            raise UsageError(
                f"--like {found.id} was selected from another corpus ({found.inputs['corpus']}); name another"
            )
        return found
    others = [one for one in warehouse.list("selection") if one.settings["method"] not in BASELINES]
    others = [one for one in others if one.inputs["corpus"] == corpus]
    if not others:
        raise UsageError("length-matched needs a selection of this corpus to match; select with another method first")
    return others[0]


def _import_of(warehouse: Warehouse, signal: str, source: str, corpus: str) -> Manifest:
    made = [warehouse.find("scores", source)] if source else warehouse.list("scores")
    imports = [one for one in made if one.inputs["corpus"] == corpus and "signals" in one.facts]
    for one in imports:
        if signal in one.facts["signals"]:
            return one
    known = sorted({name for one in imports for name in one.facts["signals"]})
    raise UsageError(
        f"--signal {signal!r} was not imported for this corpus{did_you_mean(signal, known) if known else ''}; "
        "bring it in with `curate import-scores FILE`"
    )


def recipe(warehouse: Warehouse, settings: Settings, upstream: Upstream) -> Recipe:
    """Return what the selection is made of: its inputs, the method with its own settings, the budget and the seed.

    Rows that were forgotten since change it, whichever corpus they are of.
    """
    how = {
        "method": settings.select.method,
        "budget": str(parse_budget(settings.select.budget)),
        "options": _plain(vars(method_settings(settings))),
        "pin": sorted(settings.select.pin),
        "exclude": sorted(settings.select.exclude),
        "seed": settings.seed,
    }
    if gone := forgotten(warehouse.root):
        how["forgotten"] = list(gone)
    return Recipe(
        "selection", VERSION, upstream.inputs() | evaluations(warehouse, settings), how | screened_by(settings)
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def choose(
    warehouse: Warehouse,
    settings: Settings,
    corpus: str,
    embeddings: str | None = None,
    clusters: str | None = None,
    scores: str | None = None,
    pilots: str | None = None,
) -> str:
    """Choose the rows to keep, write the ledger, and return the selection id."""
    from curate.selectors.registry import selector

    upstream = Upstream(corpus, embeddings, clusters, scores, pilots)
    settings = with_reference(warehouse, settings, corpus)
    plan = recipe(warehouse, settings, upstream)
    if plan.is_made(warehouse):
        return plan.id
    with plan.build(warehouse) as builder:
        if builder.done:
            return plan.id
        options, budget = method_settings(settings), parse_budget(settings.select.budget)
        entry = selector(settings.select.method)
        pool = read_pool(warehouse, upstream, settings, entry.needs(options, budget.in_tokens) | reads(settings))
        with progress.stage("select", len(pool)) as advance:
            found = screen(warehouse, settings, corpus, pool)
            pool = found.pool
            tokens = int((pool.n_prompt_tokens + pool.n_response_tokens).sum())
            rng = np.random.default_rng(settings.seed)
            size = budget.resolve(len(pool), tokens, warehouse.manifest("corpus", corpus).facts["n_quarantined"])
            chosen = entry.select(pool, size, budget.in_tokens, options, rng)
            builder.write("allocation", 0, pa.Table.from_pylist(list(chosen.allocation), schema=ALLOCATION), ALLOCATION)
            builder.write("part", 0, ledger(plan.id, pool, chosen, found), LEDGER)
            advance(len(pool))
        for warning in chosen.warnings:
            progress.note(f"warning: {warning}")
        builder.finish(facts(pool, chosen))
    return plan.id


def ledger(selection_id: str, pool: Pool, chosen: Selection, found: Screened) -> pa.Table:
    """Return the ledger: one row of ``LEDGER`` per example, in corpus order."""
    n = len(pool)
    rank = np.zeros(n, dtype=np.int32)
    rank[chosen.order] = np.arange(1, len(chosen.order) + 1)
    lost_to = np.where(chosen.related >= 0, pool.example_id[chosen.related], found.related_id)
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
            "overlap": pa.array(found.overlap, mask=np.isnan(found.overlap)),
        },
        schema=LEDGER,
    )


def facts(pool: Pool, chosen: Selection) -> dict[str, Any]:
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
