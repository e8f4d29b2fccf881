"""Accuracy of the demo model on each capability, before and after compression, and fault shares of the pool.

Measures and writes the table of docs/demo.md between two markers. Imports the engines only when it measures.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

from curate.flows import demo
from curate.flows.demo.capabilities import CAPABILITIES
from curate.flows.demo.disk import conversation_of, read_rows
from curate.schemas.errors import InputError

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True, slots=True)
class CapabilityReport:
    """One capability of the report. Every share is in [0, 1]."""

    capability: str
    rows: int
    """Rows of the pool, duplicates and rows without an answer included."""
    label_noise: float
    """Share of those rows whose answer is wrong."""
    duplicates: float
    """Share of those rows that repeat an earlier one."""
    contradictions: float
    """Share of those rows that are one half of a contradiction."""
    heldout: int
    """Number of held-out rows evaluated."""
    dense: float
    """Exact match of the model as shipped."""
    compressed: float
    """Exact match after compression with the demo's settings."""

    @property
    def loss(self) -> float:
        """Relative loss, 1 − compressed / dense; 0 where the dense model answers nothing."""
        return 1 - self.compressed / self.dense if self.dense else 0.0


def exact_match(model: Path, per_capability: int | None = None) -> dict[str, tuple[int, float]]:
    """Return the number of held-out rows evaluated and the share answered exactly, for each capability.

    Parameters
    ----------
    model : Path
        Hugging Face folder.
    per_capability : int, optional
        Evaluate only the first `per_capability` rows of each capability.
    """
    from curate.engines.evaluate.generation import grade

    names = pq.read_table(demo.heldout_truth_path())["capability"].to_pylist()
    rows = read_rows(demo.heldout_path())
    by_capability: dict[str, list[int]] = {name: [] for name in CAPABILITIES}
    for index, name in enumerate(names):
        if per_capability is None or len(by_capability[name]) < per_capability:
            by_capability[name].append(index)
    order = [index for indices in by_capability.values() for index in indices]
    grades = grade(model, [conversation_of(rows[index]) for index in order], device="cpu").correct
    correct = dict(zip(order, grades.tolist(), strict=True))
    return {name: (len(ids), sum(correct[i] for i in ids) / len(ids)) for name, ids in by_capability.items()}


def measure(per_capability: int | None = None) -> list[CapabilityReport]:
    """Compress the shipped model with the demo's settings and grade both, on the CPU in float32."""
    from curate.engines.compress import CompressionRequest, compress

    with tempfile.TemporaryDirectory() as folder:
        compressed = Path(folder) / "compressed"
        compress(demo.model_path(), compressed, CompressionRequest(**demo.COMPRESSION))
        after = exact_match(compressed, per_capability)
    before = exact_match(demo.model_path(), per_capability)
    faults = fault_shares()
    return [
        CapabilityReport(name, *faults[name], heldout=before[name][0], dense=before[name][1], compressed=after[name][1])
        for name in CAPABILITIES
    ]


def fault_shares() -> dict[str, tuple[int, float, float, float]]:
    """Return the row count and the shares of wrong labels, duplicates and contradictions per capability and ``all``."""
    truth = pq.read_table(demo.truth_path()).to_pylist()
    shares_of = {}
    for name in (*CAPABILITIES, "all"):
        rows = [row for row in truth if name in (row["capability"], "all")]
        shares = [sum(row[f] for row in rows) / len(rows) for f in ("label_noise", "duplicate", "contradiction")]
        shares_of[name] = (len(rows), shares[0], shares[1], shares[2])
    return shares_of


def table(lines: list[CapabilityReport]) -> str:
    """Return the Markdown table of the report: largest relative loss last, then a line for all capabilities."""
    head = (
        "| capability | pool rows | wrong labels | duplicates | contradictions | dense | compressed | relative loss |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    body = [_markdown(line) for line in sorted(lines, key=lambda line: (line.loss, line.capability))]
    heldout = sum(line.heldout for line in lines)
    dense, compressed = (
        sum(asdict(line)[which] * line.heldout for line in lines) / heldout for which in ("dense", "compressed")
    )
    overall = CapabilityReport("all", *fault_shares()["all"], heldout=heldout, dense=dense, compressed=compressed)
    settings = ", ".join(f"{key} {value}" for key, value in demo.COMPRESSION.items())
    note = f"Exact match of greedy answers on {heldout:,} held-out rows, float32 on a CPU. Compression: {settings}."
    return "\n".join([head, *body, _markdown(overall), "", note])


def _markdown(line: CapabilityReport) -> str:
    shares = (line.label_noise, line.duplicates, line.contradictions)
    cells = [line.capability, f"{line.rows:,}", *(f"{share:.1%}" for share in shares)]
    return f"| {' | '.join(cells)} | {line.dense:.3f} | {line.compressed:.3f} | {line.loss:+.1%} |".replace("+", "")


def rewrite(document: Path, text: str) -> None:
    """Replace the text between the two markers of `document` by `text`.

    Raises
    ------
    InputError
        When the document is missing or has no markers.
    """
    if not document.is_file():
        raise InputError(f"document {document} does not exist; run this from the checkout, or name the file to rewrite")
    before, begin, remainder = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = remainder.partition(END)
    if not begin or not end:
        raise InputError(f"document {document} has no pair of lines {BEGIN} and {END}; put them where the table goes")
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
