"""Narrows the views of a session to the ledgers of a few selections, so that a query does not plan over all of them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from curate.storage.catalog.applied import listed_files
from curate.storage.catalog.location import has_tiers, root_of
from curate.storage.catalog.read_only import unreadable
from curate.storage.catalog.tiers import both
from curate.storage.catalog.view_text import select_sql
from curate.storage.catalog.views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LEDGER = next(view for view in VIEWS if view.name == "ledger")


@contextmanager
def narrowed(con: duckdb.DuckDBPyConnection, selections: Sequence[str]) -> Iterator[None]:
    """Let ``ledger`` hold the rows of these selections only, for the block.

    The cost of a query over one selection is then that of its ledger, however many there are. Each ledger has a scan
    of its own, so that exactly the files that a query read are checked.

    Parameters
    ----------
    con : DuckDBPyConnection
        From `curate.storage.catalog.read_only.open_catalog`; on a catalog of version 0.1.0 nothing changes.
    selections : sequence of str
        Full ids.

    Raises
    ------
    WarehouseError
        If one of the ledgers is missing or damaged.
    """
    if not has_tiers(con):
        yield
        return
    listed, _ = listed_files(con, _LEDGER, f"({both('files')})", selections)
    branches = [select_sql(_LEDGER, [one], {}, root_of(con)) for one in listed]
    text = "\nUNION ALL\n".join(branches or [select_sql(_LEDGER, (), {}, root_of(con))])
    # A temporary view hides the view of the catalog that has its name.
    try:
        con.execute(f"CREATE OR REPLACE TEMP VIEW ledger AS {text}")
    except duckdb.Error as error:
        raise unreadable(error) from error
    try:
        yield
    finally:
        con.execute("DROP VIEW temp.ledger")
