"""Tables and sentences of docs/real-data.md, written from finished reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from results import arms_table, bounded, capabilities, verdicts, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MARGIN = 0.05
"""How far above chance the dense model must be for a task to count; see `curate.selectors.assessment.retention`."""
Summary = dict[str, dict[str, Any]]
"""By task: its line of the table ``summary`` of an evaluation."""


def table(rows: Sequence[Sequence[str]], first: int = 1) -> str:
    """Return rows of cells as Markdown, the head first; columns from place `first` on are numbers."""
    aligned = ["---"] * first + ["---:"] * (len(rows[0]) - first)
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], aligned, *rows[1:]))


def training_summary(size: str, prepared: dict[str, Any], device: str) -> str:
    """Return a summary of the dense model: size, training rows, validation loss, and why training ended."""
    counts, trained = prepared["rows"], prepared["training"]
    minutes = trained["seconds"] / 60
    sources = ", ".join(f"{name} {n:,}" for name, n in prepared["sources"].items())
    return "\n\n".join(
        [
            wrapped(
                f"Size `{size}`, device `{device}`: a Llama of {trained['parameters']:,} parameters and "
                f"{trained['vocabulary']:,} tokens, trained from scratch on {counts['training']:,} rows "
                f"({trained['tokens']:,} tokens, {trained['epochs']:.2f} passes, {minutes:.0f} minutes). "
                f"Training ended by: **{trained['stopped']}**; validation loss {trained['loss']:.3f} nats per answer "
                f"token. {counts['too_long']:,} rows were too long and left out everywhere."
            ),
            wrapped(f"Pool: {counts['pool']:,} of those rows ({sources})."),
            table(
                [["steps", "validation loss"], *[[f"{n:,}", f"{loss:.3f}"] for n, loss in _some(trained["curve"])]], 0
            ),
        ]
    )


def _some(curve: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return about eight points of a curve, the last among them."""
    each = max(1, len(curve) // 8)
    return [*curve[:-1:each], curve[-1]]


def dense_tasks(dense: Summary, chance: Mapping[str, float]) -> str:
    """Return what the dense model knows of every task, and which exact answers are no better than chance."""
    head = ["task", "items", "loss", "token accuracy", "exact or recalled", "chance", "counts"]
    rows = [
        [name, f"{one['n_items']:,}", _number(one["nll"]), _number(one["token_accuracy"]), f"{one['score']:.3f}",
         f"{chance[name]:.3f}", "yes" if counts(one, chance[name]) else "no"]
        for name, one in dense.items()
    ]  # fmt: skip
    return table([head, *rows])


def counts(one: Mapping[str, Any], chance: float) -> bool:
    """Return True if the exact answers of a task are far enough above chance to mean something."""
    return bool(one["score"] - chance >= MARGIN - 1e-12)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def section(title: str, accuracy: dict[str, Any], recall: dict[str, Any] | str, losses: dict[str, Summary]) -> str:
    """Return everything on one compression.

    Parameters
    ----------
    title : str
    accuracy : dict
        Report of the comparison on token accuracy.
    recall : dict or str
        Report on closed-book recall, or why it is missing.
    losses : dict of str to Summary
        Mean losses over seeds by model, dense and compressed first.
    """
    parts = [
        f"### {title}",
        wrapped(
            f"Compressed model: mean retention of token accuracy {bounded(accuracy['compressed'])}. "
            f"{accuracy['seeds']} seeds, {accuracy['n_items']:,} items, {len(accuracy['capabilities'])} sources."
        ),
        arms_table(accuracy),
        verdicts(accuracy),
        capabilities(accuracy),
        "Loss on the evaluation rows, nats per answer token, mean over seeds:",
        _losses(losses),
        f"#### {title}: closed-book recall of training facts",
    ]
    if isinstance(recall, str):
        return "\n\n".join([*parts, wrapped(recall)])
    left_out = f" Left out, too near chance: {', '.join(recall['left_out'])}." if recall["left_out"] else ""
    beside = f"Compressed model: mean retention of recall {bounded(recall['compressed'])}.{left_out}"
    return "\n\n".join([*parts, wrapped(beside), arms_table(recall), verdicts(recall), capabilities(recall)])


def _losses(losses: dict[str, Summary]) -> str:
    names = [name for name, one in losses["dense"].items() if one["nll"] is not None]
    rows = [[name, *(f"{summary[name]['nll']:.3f}" for summary in losses.values())] for name in names]
    mean = ["mean", *(f"{sum(s[name]['nll'] for name in names) / len(names):.3f}" for s in losses.values())]
    return table([["source", *losses], *rows, mean])
