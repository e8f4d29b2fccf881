"""How stable clusters are, as a table."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import console, grid, print_json


def stability(told: dict[str, Any], as_json: bool) -> None:
    """Print the report of ``curate cluster --stability``."""
    if as_json:
        print_json(told)
        return
    out = console()
    out.print(f"Clusters {told['clusters']}: {told['n_clusters']} clusters, and what they would be otherwise")
    columns = ("variation", "n_clusters", "ari", "selection_jaccard")
    heads = ("variation", "clusters", "agreement of labels", "overlap of selections")
    out.print(grid(heads, ([row[name] for name in columns] for row in told["variations"])))
    out.print(
        "agreement: adjusted Rand index, 1 = the same labels, 0 = chance; overlap: Jaccard index of the rows kept"
    )
    if told["scores"] is None:
        out.print("no scores of this corpus yet, hence no selections to compare: run `curate score` first")
