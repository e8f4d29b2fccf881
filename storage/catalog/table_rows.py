"""What the catalog's small tables hold, found in manifests, run records and the allocations of selections.

Nothing that stands in a manifest may stop a publish: what has the wrong type becomes null. Knows nothing of DuckDB.
"""

from __future__ import annotations

import json
import logging
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from curate.schemas.artefacts import Manifest, Noun
    from curate.storage.warehouse.runs import RunRecord
    from curate.storage.warehouse.warehouse import Warehouse

Row = dict[str, Any]

_log = logging.getLogger(__name__)


def stored_rows(
    warehouse: Warehouse, manifests: Mapping[Noun, Sequence[Manifest]], records: Iterable[RunRecord]
) -> dict[str, list[Row]]:
    """Return the rows of every small table by its name, oldest first."""
    selections = manifests["selection"]
    known = {manifest.id for manifest in manifests["clusters"]}
    return {
        "cluster_summary": [row for one in selections for row in _summary(warehouse, one, known)],
        "selections": [_selection(one) for one in selections],
        "recoveries": [_recovery(one) for one in manifests["recovery"]],
        "evaluations": [_evaluation(one) for one in manifests["evaluation"]],
        "runs": [_run(one) for one in sorted(records, key=lambda one: one.id)],
        "lineage": [
            {"noun": one.noun, "artefact_id": one.id, "role": role, "input_id": made_from}
            for listed in manifests.values()
            for one in listed
            for role, made_from in sorted(one.inputs.items())
        ],
    }


def _selection(one: Manifest) -> Row:
    return {
        "selection_id": one.id,
        "method": text(one.settings.get("method")),
        "budget": text(one.settings.get("budget")),
        "corpus_id": one.inputs.get("corpus"),
        "clusters_id": one.inputs.get("clusters"),
        "scores_id": one.inputs.get("scores"),
        "n_examples": whole(one.facts.get("n_examples")),
        "n_kept": whole(one.facts.get("n_kept")),
        "n_tokens_kept": whole(one.facts.get("n_tokens_kept")),
        **_common(one),
    }


def _recovery(one: Manifest) -> Row:
    facts = one.facts
    return {
        "recovery_id": one.id,
        "method": text(facts.get("method", one.settings.get("method"))),
        "selection_id": one.inputs.get("selection"),
        "model": text(facts.get("model")),
        "merged": facts.get("merged") if isinstance(facts.get("merged"), bool) else None,
        **{name: whole(facts.get(name)) for name in ("rows", "steps", "tokens", "trainable")},
        **{
            name: number(facts.get(name))
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


def _evaluation(one: Manifest) -> Row:
    made_from = {"recovery_id": one.inputs.get("recovery"), "selection_id": one.inputs.get("selection")}
    asked = {"model": text(one.facts.get("model")), "n_items": whole(one.facts.get("n_items"))}
    return {"evaluation_id": one.id, **asked, **made_from, **_common(one)}


def _common(one: Manifest) -> Row:
    warnings = one.facts.get("warnings")
    return {
        "created": moment(one.created),
        "settings": json_text(one.settings),
        "facts": json_text(one.facts),
        "warnings": [str(plain(warning)) for warning in warnings] if isinstance(warnings, list) else [],
    }


def _run(one: RunRecord) -> Row:
    started, finished = moment(one.started), moment(one.finished)
    return {
        "run_id": one.id,
        "command": text(one.command),
        "status": one.status,
        "started": started,
        "finished": finished,
        "seconds": (finished - started).total_seconds() if started and finished else None,
        "artefacts": [str(plain(name)) for name in one.artefacts],
        "error": text(one.error),
        "settings": json_text(one.settings),
        "host": text(one.host),
    }


def _summary(warehouse: Warehouse, selection: Manifest, known: set[str]) -> list[Row]:
    """Return a selection's allocation with the terms of its clusters; nothing if it cannot be read."""
    clusters = selection.inputs.get("clusters")
    try:
        rows = warehouse.read("selection", selection.id, "allocation").to_pylist()
        described = warehouse.read("clusters", clusters, "terms").to_pylist() if clusters in known and clusters else []
    except WarehouseError as error:
        _log.warning("selection %s is left out of cluster_summary: %s", selection.id, error)
        return []
    terms = {row["cluster"]: row["terms"] for row in described}
    whose = {"selection_id": selection.id, "clusters_id": clusters}
    return [{**whose, **row, "terms": terms.get(row["cluster"])} for row in rows]


def whole(value: object) -> int | None:
    """Return a whole number, or None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: object) -> float | None:
    """Return a finite number as a float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def text(value: object) -> str | None:
    """Return a value as text that Arrow and DuckDB accept, or None for None."""
    return None if value is None else str(plain(value))


def moment(value: str | None) -> datetime | None:
    """Return an ISO 8601 time as UTC without a zone, or None if it is none."""
    try:
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None) if value else None
    except ValueError:
        return None


def json_text(value: object) -> str:
    """Return JSON that DuckDB accepts: no NaN, no infinity, no unpaired surrogate."""
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Return a JSON-able value with non-finite numbers as None and unpaired surrogates as ``?``."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
