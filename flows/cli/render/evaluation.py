"""Printing of ``curate evaluate``: scores, retention, harmed groups and perplexity."""

from __future__ import annotations

from typing import Any

from curate.flows.cli.render.console import cell, console, grid, print_json


def evaluation(report: dict[str, Any], as_json: bool) -> None:
    """Print a report of `curate.flows.operations.evaluation_report.report`."""
    if as_json:
        print_json(report)
        return
    out = console()
    out.print(f"Evaluation {report['evaluation_id']} of {report['model']}: {report['n_items']:,} items", soft_wrap=True)
    if report.get("retention") and report["retention"]["groups"]:
        _retention(report["retention"], report["metric"])
    else:
        columns = ("task", "group", "items", "score", "95 % interval", "nll", "token accuracy")
        out.print(grid(columns, (_summary_row(row) for row in report["summary"])))
    if report["divergence"]:
        _divergence(report["divergence"])
    if report["perplexity"]:
        heads = list(report["perplexity"][0])
        rows = ([_figure(row[head]) for head in heads] for row in report["perplexity"])
        out.print(grid([head.replace("_", " ") for head in heads], rows))
    if report["window"]:
        out.print(f"plain texts were read in windows of {report['window']:,} tokens (--max-length)")
    for warning in report["warnings"]:
        out.print(f"warning: {warning}", soft_wrap=True)


def _retention(retention: dict[str, Any], metric: str) -> None:
    out = console()
    columns: tuple[str, ...] = (
        "task",
        "group",
        "items",
        "original",
        "compressed",
        "model",
        "retention",
        "95 % interval",
        "note",
    )
    rows = [
        [row["task"], row["group"], row["items"], row["original"], row["compressed"], row["score"],
         *_bounded(row["retention"]), _note(row)]
        for row in retention["groups"]
    ]  # fmt: skip
    if len({row[0] for row in rows}) == 1:
        # With a single task its name is the same in every row.
        columns, rows = columns[1:], [row[1:] for row in rows]
    out.print(grid(columns, rows))
    for name in ("mean", "worst"):
        value, bounds = _bounded(retention[name])
        before = f"; the compressed model {cell(retention['mean_compressed'])}" if name == "mean" else ""
        out.print(f"{name} retention of {metric.replace('_', ' ')}: {cell(value)} {bounds}{before}")


def _divergence(rows: list[dict[str, Any]]) -> None:
    out = console()
    columns: tuple[str, ...] = ("task", "group", "items", "tokens", "model", "95 % interval")
    paired = any(row["compressed"] is not None for row in rows)
    columns += ("compressed", "gap closed", "95 % interval", "note") if paired else ()
    out.print(grid(columns, (_diverged(row, paired) for row in rows)))
    closed = "; gap closed = 1 − model / compressed" if paired else ""
    measure = "mean KL(original ‖ model) in nats per token, smaller = closer to the original"
    out.print(f"divergence: {measure}{closed}", soft_wrap=True)


def _diverged(row: dict[str, Any], paired: bool) -> list[Any]:
    cells = [row["task"], row["group"], row["items"], row["tokens"], *_bounded(row["model"])]
    note = "HARMED: further away than the compressed model" if row["further"] else ""
    return cells + ([_bounded(row["compressed"])[0], *_bounded(row["gap_closed"]), note] if paired else [])


def _note(row: dict[str, Any]) -> str:
    if row["left_out"]:
        return f"left out: {row['left_out']}"
    return "HARMED: below the compressed model" if row["harmed"] else ""


def _summary_row(row: dict[str, Any]) -> list[Any]:
    bounds = "" if row["score"] is None else f"[{row['score_low']:.3f}, {row['score_high']:.3f}]"
    return [row["task"], row["group"], row["n_items"], row["score"], bounds, row["nll"], row["token_accuracy"]]


def _bounded(interval: dict[str, float] | None) -> tuple[float | None, str]:
    return (None, "") if interval is None else (interval["value"], f"[{interval['low']:.3f}, {interval['high']:.3f}]")


def _figure(value: Any) -> Any:
    if isinstance(value, dict):
        return f"{value['value']:+.3f} [{value['low']:+.3f}, {value['high']:+.3f}]"
    return value
