"""``curate explain``: collects all catalog rows about one example: text, sources, cluster, scores and decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.schemas.errors import UsageError
from curate.storage.catalog.narrowed import narrowed
from curate.storage.catalog.read_only import run_sql
from curate.storage.catalog.selection_ids import newest_selections, resolve_selection

if TYPE_CHECKING:
    import duckdb

_SHOWN = 5

# With a selection, only the artefacts that it was built from; a selection without scores or clusters shows none.
_USED = "($selection IS NULL OR {id} IN (SELECT {id} FROM selections WHERE selection_id = $selection))"

_EXAMPLE = f"""
SELECT corpus_id, messages, tools, sources, context_turns
FROM examples
WHERE example_id = $example AND {_USED.format(id="corpus_id")}
ORDER BY corpus_id
"""

_CLUSTERS = f"""
SELECT clusters_id, clusters.cluster, membership, cluster_terms.size, cluster_terms.terms
FROM clusters
LEFT JOIN cluster_terms USING (clusters_id, cluster)
WHERE example_id = $example AND {_USED.format(id="clusters_id")}
ORDER BY clusters_id
"""

_SCORES = f"""
SELECT * EXCLUDE (example_id)
FROM scores
WHERE example_id = $example AND {_USED.format(id="scores_id")}
ORDER BY scores_id
"""

_SELECTIONS = """
SELECT
    selection_id,
    selections.method,
    selections.budget,
    CAST(selections.created AS VARCHAR) AS created,
    ledger.kept,
    ledger.rank,
    ledger.reason,
    ledger.related_id,
    left(related.prompt, 200) AS related_prompt,
    ledger.cluster,
    ledger."group",
    ledger.score
FROM ledger
JOIN selections USING (selection_id)
LEFT JOIN examples AS related ON related.corpus_id = selections.corpus_id AND related.example_id = ledger.related_id
WHERE ledger.example_id = $example AND selection_id IN $shown
ORDER BY selections.created DESC, selection_id
"""

NEWEST = 20
"""Selections that are shown unless one is asked for: reading every ledger would take ever longer."""


def explain(con: duckdb.DuckDBPyConnection, example_id_prefix: str, selection_id: str | None = None) -> dict[str, Any]:
    """Return all rows of the catalog about one example, as JSON-able values.

    Parameters
    ----------
    con : DuckDBPyConnection
        From `open_catalog`.
    example_id_prefix : str
        Its id, or a prefix of it.
    selection_id : str, optional
        Restricts the result to this selection (id, prefix, ``"latest"``, ``"previous"``) and its inputs. Otherwise
        ``selections`` has the newest `NEWEST` of them.

    Returns
    -------
    dict
        ``example_id``, ``messages`` (role, content, tool_call, supervised), ``tools``, ``sources`` (corpus_id, source,
        row, licence), ``clusters`` (clusters_id, cluster, membership, size, terms), ``scores`` (scores_id, status,
        signals, token counts) and ``selections`` (selection_id, method, budget, created, kept, rank, reason,
        related_id, related_prompt, cluster, group, score; newest first) and ``older_selections``, the number of those
        that were not looked at.

    Raises
    ------
    UsageError
        If no example or several match, or the selection does not exist.
    """
    example_id = resolve_example(con, example_id_prefix)
    selection = selection_id and resolve_selection(con, selection_id)
    values = {"example": example_id, "selection": selection}
    rows = {
        name: run_sql(con, sql, values).to_pylist()
        for name, sql in (("examples", _EXAMPLE), ("clusters", _CLUSTERS), ("scores", _SCORES))
    }
    texts = rows.pop("examples")
    if not texts:
        raise UsageError(f"example {example_id} is not in the corpus of selection {selection}")
    decisions, older = _decisions(con, example_id, selection)
    return {
        "example_id": example_id,
        "messages": [
            {**turn, "supervised": turn["role"] == "assistant" and position not in texts[0]["context_turns"]}
            for position, turn in enumerate(texts[0]["messages"])
        ],
        "tools": texts[0]["tools"],
        "sources": [{"corpus_id": one["corpus_id"], **source} for one in texts for source in one["sources"] or []],
        **rows,
        "selections": decisions,
        "older_selections": older,
    }


def _decisions(
    con: duckdb.DuckDBPyConnection, example_id: str, selection: str | None
) -> tuple[list[dict[str, Any]], int]:
    """Return what one selection, or the newest ones, decided about an example, and how many older ones there are."""
    shown = [selection] if selection else newest_selections(con, NEWEST)
    held: int = run_sql(con, "SELECT count(*) FROM selections")[0][0].as_py()
    with narrowed(con, shown):
        rows = run_sql(con, _SELECTIONS, {"example": example_id, "shown": shown}).to_pylist()
    return rows, 0 if selection else held - len(shown)


def resolve_example(con: duckdb.DuckDBPyConnection, prefix: str) -> str:
    """Return the full id of the example whose id begins with `prefix`.

    Raises
    ------
    UsageError
        If none or several match; the message lists some.
    """
    sql = "SELECT DISTINCT example_id FROM examples WHERE starts_with(example_id, $prefix) ORDER BY ALL LIMIT $limit"
    matches: list[str] = run_sql(con, sql, {"prefix": prefix.strip().lower(), "limit": _SHOWN + 1})[0].to_pylist()
    if not matches:
        raise UsageError(
            f"no example id begins with {prefix!r}; `curate sql 'SELECT example_id FROM examples'` lists them"
        )
    if len(matches) > 1:
        more = ", …" if len(matches) > _SHOWN else ""
        raise UsageError(f"example {prefix!r} could be any of {', '.join(matches[:_SHOWN])}{more}; give more digits")
    return matches[0]
