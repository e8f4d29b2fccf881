"""``curate gc``: what a warehouse no longer needs, shown first and removed when asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.schemas.errors import UsageError
from curate.storage.maintenance import garbage_collection
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from curate.schemas.settings import Settings


def gc(settings: Settings, grace_days: float, delete: bool) -> dict[str, Any]:
    """Return what can be removed, or what was.

    Parameters
    ----------
    grace_days : float
        Younger things are kept; not negative.
    delete : bool
        Whether to remove it.

    Raises
    ------
    UsageError
        If `grace_days` is negative.
    GateError
        If a run is under way and something is to be removed.
    """
    if not grace_days >= 0:
        raise UsageError(f"--grace-days {grace_days:g} is negative; give 0 or more")
    warehouse = Warehouse(settings.warehouse, lock_timeout=settings.lock_timeout)
    found = (
        garbage_collection.collect(warehouse, grace_days) if delete else garbage_collection.find(warehouse, grace_days)
    )
    return {
        "warehouse": str(warehouse.root),
        "deleted": delete,
        "bytes": sum(one.bytes for one in found),
        "garbage": [
            {
                "path": str(one.path.relative_to(warehouse.root)),
                "why": one.why,
                "days": round(one.days, 2),
                "bytes": one.bytes,
            }
            for one in found
        ],
    }
