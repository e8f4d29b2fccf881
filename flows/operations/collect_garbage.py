"""``curate gc``: lists the files that a warehouse no longer needs, or removes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.flows.session import open_warehouse
from curate.schemas.errors import UsageError
from curate.storage.maintenance import garbage_collection

if TYPE_CHECKING:
    from curate.schemas.settings import Settings


def gc(settings: Settings, grace_days: float, delete: bool) -> dict[str, Any]:
    """Return the files that can be removed, or were.

    Parameters
    ----------
    grace_days : float
        Files younger than this, in days, are kept; not negative.
    delete : bool
        Whether to remove the files.

    Raises
    ------
    UsageError
        If `grace_days` is negative.
    GateError
        If a manifest or run record cannot be read, or a run is active and `delete` is true.
    """
    if not grace_days >= 0:
        raise UsageError(f"--grace-days {grace_days:g} is negative; give 0 or more")
    warehouse = open_warehouse(settings)
    act = garbage_collection.collect if delete else garbage_collection.find_garbage
    garbage = act(warehouse, grace_days)
    return {
        "warehouse": str(warehouse.root),
        "deleted": delete,
        "bytes": sum(one.bytes for one in garbage),
        "garbage": [
            {
                "path": str(one.path.relative_to(warehouse.root)),
                "why": one.why,
                "days": round(one.days, 2),
                "bytes": one.bytes,
            }
            for one in garbage
        ],
    }
