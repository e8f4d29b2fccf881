"""The model card of a recovered model: its compression, training, data and results, as Markdown text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_SETTINGS = (
    "epochs", "batch", "schedule", "warmup", "rank", "alpha", "dropout", "parts", "max_length", "template", "seed",
)  # fmt: skip


def model_card(report: Mapping[str, Any], lineage: Mapping[str, Any]) -> str:
    """Return the card as Markdown with a YAML header.

    Parameters
    ----------
    report : mapping
        As `curate.engines.recover.recover` returns it.
    lineage : mapping
        Origin of the rows: artefact ids, counts of the ledger's reasons, licences.
    """
    request = report["request"]
    lines = ["---", "library_name: transformers" if report["merged"] else "library_name: peft", "tags: [curate]", "---"]
    lines += ["", "# Recovered model", ""]
    lines += [
        f"Recovered by `{report['method']}` ({report['reason']}) on {report['rows']:,} rows, {report['steps']:,} "
        f"steps, {report['tokens']:,} tokens. Detected compression: {', '.join(report['detected']['kinds'])}.",
        "",
        "| | before | after |",
        "|---|---:|---:|",
        f"| zeros in linear layers | {report['sparsity_before']:.4f} | {report['sparsity_after']:.4f} |",
    ]
    if report["perplexity_before"] is not None:
        before, after = report["perplexity_before"], report["perplexity_after"]
        lines.append(f"| perplexity on {report['rows_heldout']:,} held-out rows | {before:.4f} | {after:.4f} |")
    lines += ["", "Perplexity alone does not show lost knowledge. Evaluate the capabilities too.", ""]
    lines += ["## Data", ""]
    lines += _listed(lineage) or ["Rows were given directly; their origin is not recorded."]
    lines += ["", "## Settings", "", f"- learning rate: {report['learning_rate']}"]
    lines += [f"- loss: {RecoveryRequest.from_json(request).loss}"]
    lines += [f"- {name.replace('_', ' ')}: {_plain(request[name])}" for name in _SETTINGS]
    if "layers" in report:
        lines.append(f"- decoder layers trained: {_plain(report['layers'])}")
    lines += [f"- template digest: {report['template_digest']} ({report['template']})"]
    return "\n".join(lines) + "\n"


def _listed(values: Mapping[str, Any]) -> list[str]:
    return [f"- {name.replace('_', ' ')}: {_plain(value)}" for name, value in values.items()]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(one) for one in value)
    return str(value)
