"""``curate sql``: runs a query or a named query against the catalog, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.schemas.settings import Settings


def run_query(settings: Settings, query: str | None, named: str | None, parameters: list[str]) -> pa.Table:
    """Run a query and return its result as an Arrow table.

    Parameters
    ----------
    query : str or None
        SQL; None for a named query.
    named : str or None
        Name of a query, see `curate.storage.catalog.queries.named_queries`.
    parameters : list of str
        ``name=value`` pairs of the named query.

    Raises
    ------
    UsageError
        If a parameter is not a pair, or DuckDB rejects the query.
    """
    from curate.storage.catalog import queries

    pairs = dict(_pair(text) for text in parameters)
    with queries.open_catalog(settings.warehouse, settings.verify, settings.allow_files) as con:
        return queries.run_named_query(con, named, pairs) if named is not None else queries.run_sql(con, query or "")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--with {text!r} is not name=value")
    return name, value
