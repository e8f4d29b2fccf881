"""Builds the rows of the catalog's stored tables from manifests, run records and the allocations of selections.

No value in a manifest may stop a publish: one of the wrong type becomes null.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from curate.schemas.artefacts import Manifest
    from curate.storage.catalog.changes import Changes
    from curate.storage.warehouse.runs import RunRecord
    from curate.storage.warehouse.warehouse import Warehouse

TableRow = dict[str, Any]


def stored_rows(warehouse: Warehouse, changes: Changes) -> tuple[dict[str, list[TableRow]], list[str]]:
    """Return the rows of every stored table by its name, and a sentence for each selection without its summary.

    They are those of new and changed artefacts and runs, oldest first.
    """
    manifests, selections = changes.manifests, changes.manifests["selection"]
    summaries, reasons = _summaries(warehouse, selections, changes.clusters)
    tables: dict[str, list[TableRow]] = {
        "cluster_summary": summaries,
        "ledger_summary": [row for one in selections for row in _reasons(one)],
        "selections": [_selection(one) for one in selections],
        "recoveries": [_recovery(one) for one in manifests["recovery"]],
        "evaluations": [_evaluation(one) for one in manifests["evaluation"]],
        "runs": [_run(one) for one in sorted(changes.runs, key=lambda one: one.id)],
        "lineage": [
            {"noun": one.noun, "artefact_id": one.id, "role": role, "input_id": input_id}
            for of_noun in manifests.values()
            for one in of_noun
            for role, input_id in sorted(one.inputs.items())
        ],
    }
    return tables, reasons


def _selection(one: Manifest) -> TableRow:
    return {
        "selection_id": one.id,
        "method": text_or_none(one.settings.get("method")),
        "budget": text_or_none(one.settings.get("budget")),
        "corpus_id": one.inputs.get("corpus"),
        "clusters_id": one.inputs.get("clusters"),
        "scores_id": one.inputs.get("scores"),
        "n_examples": integer_or_none(one.facts.get("n_examples")),
        "n_kept": integer_or_none(one.facts.get("n_kept")),
        "n_tokens_kept": integer_or_none(one.facts.get("n_tokens_kept")),
        **_common(one),
    }


def _recovery(one: Manifest) -> TableRow:
    facts = one.facts
    return {
        "recovery_id": one.id,
        "method": text_or_none(facts.get("method", one.settings.get("method"))),
        "selection_id": one.inputs.get("selection"),
        "model": text_or_none(facts.get("model")),
        "merged": facts.get("merged") if isinstance(facts.get("merged"), bool) else None,
        **{name: integer_or_none(facts.get(name)) for name in ("rows", "steps", "tokens", "trainable")},
        **{
            name: float_or_none(facts.get(name))
            for name in (
                "trainable_share",
                "sparsity_before",
                "sparsity_after",
                "perplexity_before",
                "perplexity_after",
                "seconds",
            )
        },
        **_common(one),
    }


def _evaluation(one: Manifest) -> TableRow:
    inputs = {"recovery_id": one.inputs.get("recovery"), "selection_id": one.inputs.get("selection")}
    evaluated = {"model": text_or_none(one.facts.get("model")), "n_items": integer_or_none(one.facts.get("n_items"))}
    return {"evaluation_id": one.id, **evaluated, **inputs, **_common(one)}


def _common(one: Manifest) -> TableRow:
    warnings = one.facts.get("warnings")
    return {
        "created": utc_or_none(one.created),
        "settings": json_text(one.settings),
        "facts": json_text(one.facts),
        "warnings": [str(json_safe(warning)) for warning in warnings] if isinstance(warnings, list) else [],
        "sequence": one.sequence,
    }


def _run(one: RunRecord) -> TableRow:
    started, finished = utc_or_none(one.started), utc_or_none(one.finished)
    return {
        "run_id": one.id,
        "command": text_or_none(one.command),
        "status": one.status,
        "started": started,
        "finished": finished,
        "seconds": (finished - started).total_seconds() if started and finished else None,
        "artefacts": [str(json_safe(name)) for name in one.artefacts],
        "error": text_or_none(one.error),
        "settings": json_text(one.settings),
        "host": text_or_none(one.host),
    }


def _reasons(selection: Manifest) -> Iterator[TableRow]:
    counts = selection.facts.get("reasons")
    for reason, count in counts.items() if isinstance(counts, dict) else ():
        name = text_or_none(reason)
        yield {"selection_id": selection.id, "reason": name, "examples": integer_or_none(count)}


def _summaries(warehouse: Warehouse, selections: list[Manifest], known: set[str]) -> tuple[list[TableRow], list[str]]:
    """Return the allocations of selections, and a sentence for each that cannot be read."""
    rows, reasons = [], []
    for one in selections:
        try:
            rows += _summary(warehouse, one, known)
        except WarehouseError as error:
            reasons.append(f"selection {one.id} is left out of cluster_summary: {error}")
    return rows, reasons


def _summary(warehouse: Warehouse, selection: Manifest, known: set[str]) -> list[TableRow]:
    """Return a selection's allocation with the terms of its clusters."""
    clusters = selection.inputs.get("clusters")
    rows = warehouse.read("selection", selection.id, "allocation").to_pylist()
    described = warehouse.read("clusters", clusters, "terms").to_pylist() if clusters in known and clusters else []
    terms = {row["cluster"]: row["terms"] for row in described}
    ids = {"selection_id": selection.id, "clusters_id": clusters}
    # A selection from before there were groups has no such column.
    rows = [{"group": None, **row} for row in rows]
    return [{**ids, **row, "terms": terms.get(row["cluster"]) if row["group"] is None else None} for row in rows]


def integer_or_none(value: object) -> int | None:
    """Return an integer, or None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def float_or_none(value: object) -> float | None:
    """Return a finite number as a float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def text_or_none(value: object) -> str | None:
    """Return a value as text that Arrow and DuckDB accept, or None for None."""
    return None if value is None else str(json_safe(value))


def utc_or_none(value: str | None) -> datetime | None:
    """Return an ISO 8601 time as a naive datetime in UTC, or None if it is not one."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None) if value else None
    except ValueError:
        return None


def json_text(value: object) -> str:
    """Return JSON that DuckDB accepts: no NaN, no infinity, no unpaired surrogate."""
    return json.dumps(json_safe(value), sort_keys=True, ensure_ascii=False, allow_nan=False)


def json_safe(value: Any) -> Any:
    """Return a JSON-able value with non-finite numbers as None and unpaired surrogates as ``?``."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {json_safe(key): json_safe(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(inner) for inner in value]
    return value
