"""What a nightly run shows in Prefect's interface: the selection and its clusters, readable from any machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from curate.flows.operations.selection_summary import by_count, clusters, meaning, summary

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse


def publish_artifacts(warehouse: Warehouse, selection: str, settings: Settings, report_url: str | None) -> None:
    """Write the report, and attach a summary of it and the table of clusters to the flow run as Prefect artifacts.

    Parameters
    ----------
    selection : str
        Full id.
    report_url : str, optional
        Address at which the folder ``reports`` of the warehouse is served.
    """
    from curate.flows.operations.report import report

    path = Path(report(settings, selection, None, png=False)["report"])
    link = f"{report_url.rstrip('/')}/{path.name}" if report_url else None
    create_markdown_artifact(
        key="curate-report",
        markdown=markdown(summary(warehouse, selection, None), path, link),
        description=f"Report of selection {selection}",
    )
    if rows := [readable(row) for row in clusters(warehouse, selection)]:
        create_table_artifact(
            key="curate-clusters", table=rows, description=f"Clusters of selection {selection}, most damaged first"
        )


def markdown(chosen: dict[str, Any], path: Path, link: str | None) -> str:
    """Return the summary of a selection as Markdown, with the address or the path of its report."""
    reasons = [f"| {reason} | {count:,} | {meaning(reason)} |" for reason, count in by_count(chosen["reasons"])]
    tokens = "" if chosen["n_tokens_kept"] is None else f", {chosen['n_tokens_kept']:,} tokens"
    return "\n".join(
        [
            f"# Selection {chosen['selection_id']}",
            "",
            f"{chosen['n_kept']:,} of {chosen['n_examples']:,} examples kept{tokens}; method {chosen['method']}, "
            f"budget {chosen['budget']}.",
            "",
            f"[The whole report]({link})" if link else f"The whole report is `{path}` on the worker's machine.",
            "",
            "| reason | examples | |",
            "|---|---:|---|",
            *reasons,
            *(f"\n> {warning}" for warning in chosen["warnings"]),
        ]
    )


def readable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table of clusters with rounded numbers and terms as text, without what is null."""
    return {
        name: ", ".join(value) if isinstance(value, list) else _rounded(value)
        for name, value in row.items()
        if value is not None
    }


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
