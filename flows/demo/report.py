"""How well the demo model does on each capability, before and after compression, and how many faults the pool has.

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
class Line:
    """One capability of the report. Every share lies in [0, 1]."""

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
    """Held-out rows asked."""
    dense: float
    """Share of the held-out rows answered exactly by the model as shipped."""
    compressed: float
    """The same after compression with the demo's recipe."""

    @property
    def loss(self) -> float:
        """Relative loss, 1 − compressed / dense; 0 where the dense model knows nothing."""
        return 1 - self.compressed / self.dense if self.dense else 0.0


def exact_match(model: Path, per_capability: int | None = None) -> dict[str, tuple[int, float]]:
    """Return, for each capability, the held-out rows asked and the share answered exactly.

    Parameters
    ----------
    model : Path
        Hugging Face folder.
    per_capability : int, optional
        Ask only the first so many rows of each capability.
    """
    from curate.engines.evaluate.generation import grade

    names = pq.read_table(demo.heldout_truth_path())["capability"].to_pylist()
    rows = read_rows(demo.heldout_path())
    kept: dict[str, list[int]] = {name: [] for name in CAPABILITIES}
    for index, name in enumerate(names):
        if per_capability is None or len(kept[name]) < per_capability:
            kept[name].append(index)
    order = [index for indices in kept.values() for index in indices]
    correct = grade(model, [conversation_of(rows[index]) for index in order], device="cpu").correct
    right = dict(zip(order, correct.tolist(), strict=True))
    return {name: (len(ids), sum(right[i] for i in ids) / len(ids)) for name, ids in kept.items()}


def measure(per_capability: int | None = None) -> list[Line]:
    """Compress the shipped model with the demo's recipe and grade both, on the CPU in float32."""
    from curate.engines.compress import compress

    with tempfile.TemporaryDirectory() as folder:
        compressed = Path(folder) / "compressed"
        compress(demo.model_path(), compressed, **demo.COMPRESSION)
        after = exact_match(compressed, per_capability)
    before = exact_match(demo.model_path(), per_capability)
    faults = fault_shares()
    return [
        Line(name, *faults[name], heldout=before[name][0], dense=before[name][1], compressed=after[name][1])
        for name in CAPABILITIES
    ]


def fault_shares() -> dict[str, tuple[int, float, float, float]]:
    """Return rows, and the shares of wrong labels, duplicates and contradictions, of each capability and of ``all``."""
    truth = pq.read_table(demo.truth_path()).to_pylist()
    found = {}
    for name in (*CAPABILITIES, "all"):
        rows = [row for row in truth if name in (row["capability"], "all")]
        shares = [sum(row[f] for row in rows) / len(rows) for f in ("label_noise", "duplicate", "contradiction")]
        found[name] = (len(rows), shares[0], shares[1], shares[2])
    return found


def table(lines: list[Line]) -> str:
    """Return the Markdown table of the report, the worst hurt capability last, with a line for the whole."""
    head = (
        "| capability | pool rows | wrong labels | duplicates | contradictions | dense | compressed | relative loss |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|"
    )
    body = [_markdown(line) for line in sorted(lines, key=lambda line: (line.loss, line.capability))]
    asked = sum(line.heldout for line in lines)
    dense, compressed = (
        sum(asdict(line)[which] * line.heldout for line in lines) / asked for which in ("dense", "compressed")
    )
    whole = Line("all", *fault_shares()["all"], heldout=asked, dense=dense, compressed=compressed)
    recipe = ", ".join(f"{key} {value}" for key, value in demo.COMPRESSION.items())
    note = f"Exact match of greedy answers on {asked:,} held-out rows, float32 on a CPU. Compression: {recipe}."
    return "\n".join([head, *body, _markdown(whole), "", note])


def _markdown(line: Line) -> str:
    shares = (line.label_noise, line.duplicates, line.contradictions)
    cells = [line.capability, f"{line.rows:,}", *(f"{share:.1%}" for share in shares)]
    return f"| {' | '.join(cells)} | {line.dense:.3f} | {line.compressed:.3f} | {line.loss:+.1%} |".replace("+", "")


def rewrite(document: Path, text: str) -> None:
    """Replace what stands between the two markers of `document` by `text`.

    Raises
    ------
    InputError
        When the document is missing or has no markers.
    """
    if not document.is_file():
        raise InputError(f"document {document} does not exist; run this from the checkout, or name the file to rewrite")
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"document {document} has no pair of lines {BEGIN} and {END}; put them where the table goes")
    document.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
