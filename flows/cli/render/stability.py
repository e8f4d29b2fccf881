"""Printing of ``curate cluster --stability``."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import console, grid, print_json


def stability(report: dict[str, Any], as_json: bool) -> None:
    """Print how labels and selections change with seeds, numbers of clusters and encoder precision."""
    if as_json:
        print_json(report)
        return
    out = console()
    out.print(f"Clusters {report['clusters']}: {report['n_clusters']} clusters, compared with variations")
    columns = ("variation", "n_clusters", "ari", "selection_jaccard")
    heads = ("variation", "clusters", "agreement of labels", "overlap of selections")
    out.print(grid(heads, ([row[name] for name in columns] for row in report["variations"])))
    out.print(
        "agreement: adjusted Rand index, 1 = the same labels, 0 = chance; overlap: Jaccard index of the rows kept"
    )
    if report["scores"] is None:
        out.print("this corpus has no scores yet, so selections were not compared: run `curate score` first")
