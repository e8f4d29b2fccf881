"""Examples that must not be used any more: one small file in the warehouse, read by every selection from then on.

Forgetting changes no artefact that is there; it says which of them used the example. Knows nothing of selectors.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from curate.schemas.errors import WarehouseError
from curate.storage.catalog.explain import resolve_example
from curate.storage.catalog.read_only import open_catalog, run_sql
from curate.storage.warehouse import atomic

if TYPE_CHECKING:
    from pathlib import Path

    from curate.storage.warehouse.warehouse import Warehouse

FILE = "forgotten.json"

_USED = """
SELECT selection_id, method, budget, CAST(selections.created AS VARCHAR) AS created, ledger.rank
FROM ledger JOIN selections USING (selection_id)
WHERE ledger.example_id = $example AND ledger.kept
ORDER BY selections.created DESC, selection_id
"""


def forgotten(root: Path) -> tuple[str, ...]:
    """Return the ids of all forgotten examples, sorted; empty where nothing was ever forgotten.

    Raises
    ------
    WarehouseError
        If the file cannot be read: going on would use rows that must not be used.
    """
    path = root / FILE
    if not path.exists():
        return ()
    with atomic.reporting("read", path):
        text = path.read_bytes()
    try:
        ids = json.loads(text)["example_ids"]
        return tuple(sorted(str(one) for one in ids))
    except (ValueError, KeyError, TypeError) as error:
        raise WarehouseError(
            f"{path} is damaged, and says which rows must not be used; restore it from a backup, "
            "or delete it and forget the rows again"
        ) from error


def forget(warehouse: Warehouse, prefix: str) -> dict[str, Any]:
    """Exclude an example from every selection to come, and tell which selections kept it.

    Parameters
    ----------
    warehouse : Warehouse
    prefix : str
        Example id, or its beginning.

    Returns
    -------
    dict
        ``example_id``, ``already`` (it was forgotten before) and ``selections`` that kept it (selection_id, method,
        budget, created, rank; newest first).

    Raises
    ------
    UsageError
        If no example or several begin like that.
    WarehouseError
        If there is no catalog, or the disk refuses.
    """
    with open_catalog(warehouse.root) as con:
        example = resolve_example(con, prefix)
        used = run_sql(con, _USED, {"example": example}).to_pylist()
    with warehouse.lock("forgotten"):
        known = forgotten(warehouse.root)
        if example not in known:
            text = json.dumps({"example_ids": sorted({*known, example})}, indent=1)
            atomic.write_bytes(warehouse.root / FILE, text.encode())
    return {"example_id": example, "already": example in known, "selections": used}
