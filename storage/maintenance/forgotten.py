"""``curate forget``: the list of examples that no selection may use, stored as ``forgotten.json`` in the warehouse.

Every later selection and export reads it. Existing artefacts do not change; `forget` returns those that used a row.
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
    """Return the ids of all forgotten examples, sorted.

    Raises
    ------
    WarehouseError
        If the file cannot be read: continuing would use rows that must not be used.
    """
    path = root / FILE
    if not path.exists():
        return ()
    with atomic.disk_errors("read", path):
        text = path.read_bytes()
    try:
        ids = json.loads(text)["example_ids"]
        return tuple(sorted(str(one) for one in ids))
    except (ValueError, KeyError, TypeError) as error:
        raise WarehouseError(
            f"{path} is damaged, and lists the rows that must not be used; restore it from a backup, "
            "or delete it and forget the rows again"
        ) from error


def forget(warehouse: Warehouse, prefix: str) -> dict[str, Any]:
    """Exclude an example from all later selections, and return the selections that kept it.

    Parameters
    ----------
    warehouse : Warehouse
    prefix : str
        Example id, or a prefix of it.

    Returns
    -------
    dict
        ``example_id``, ``already`` (it was forgotten before) and ``selections`` that kept it (selection_id, method,
        budget, created, rank; newest first).

    Raises
    ------
    UsageError
        If no example or several match.
    WarehouseError
        If there is no catalog, or the list cannot be written.
    """
    with open_catalog(warehouse.root, warehouse.verify) as con:
        example = resolve_example(con, prefix)
        used = run_sql(con, _USED, {"example": example}).to_pylist()
    with warehouse.lock("forgotten"):
        known = forgotten(warehouse.root)
        if example not in known:
            text = json.dumps({"example_ids": sorted({*known, example})}, indent=1)
            atomic.write_bytes(warehouse.root / FILE, text.encode())
    return {"example_id": example, "already": example in known, "selections": used}
