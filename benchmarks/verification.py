"""Cost of checking the checksums of parts while a selection reads them.

Claim: below 3 % of the processor time of a selection. A corpus of made-up text is ingested once; then each of several
selections with new seeds reads its parts as a new process does, with an empty cache of checked parts. The time of the
checks is taken inside the selection: on a busy machine two selections differ by more than the checks cost. ``uniform``
computes least, so that its share is the largest.

    python benchmarks/verification.py --rows 52000 --json
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.flows import dispatch
from curate.schemas.settings import resolve
from curate.storage.warehouse import integrity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.schemas.artefacts import PartFile
    from curate.schemas.settings import Settings

WORDS_PER_ROW = 80


def write_corpus(path: Path, rows: int) -> Path:
    """Write distinct rows of made-up words, as long as those of common instruction corpora."""
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randrange(2, 11))) for _ in range(20_000)]
    with path.open("w") as file:
        for row in range(rows):
            text = draw.choices(words, k=WORDS_PER_ROW)
            line = {"instruction": f"{row} " + " ".join(text[:30]), "output": " ".join(text[30:])}
            file.write(json.dumps(line) + "\n")
    return path


def seconds(settings: Settings, seed: int) -> tuple[float, float]:
    """Return the processor seconds of a new selection without its checks, and of the checks.

    The selection is from stored artefacts to a published catalog.
    """
    checks = 0.0
    original = integrity.check_parts

    def timed(folder: Path, parts: Sequence[PartFile]) -> None:
        nonlocal checks
        start = time.process_time()
        original(folder, parts)
        checks += time.process_time() - start

    integrity._checked.clear()
    integrity.check_parts = timed
    try:
        start = time.process_time()
        dispatch.select(settings.model_copy(update={"seed": seed}))
        return time.process_time() - start - checks, checks
    finally:
        integrity.check_parts = original


def measure(settings: Settings, repeats: int) -> dict[str, Any]:
    """Return the median processor seconds of selections and of their checks, and the ratio with to without checks."""
    seconds(settings, 0)  # ingests
    selection, checks = (
        statistics.median(side) for side in zip(*(seconds(settings, 1 + i) for i in range(repeats)), strict=True)
    )
    return {"selection": selection, "checks": checks, "ratio": (selection + checks) / selection}


def main() -> None:
    """Measure, print lines or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=52_000, help="rows of the corpus (default 52000)")
    parser.add_argument("--repeats", type=int, default=15, help="selections (default 15)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = str(write_corpus(Path(folder) / "corpus.jsonl", options.rows))
        given = {"corpus": [corpus], "warehouse": Path(folder) / "w", "select": {"method": "uniform"}}
        report = measure(resolve(given), options.repeats)
        size = sum(path.stat().st_size for path in Path(folder).glob("w/corpus/*/*.parquet"))
    report |= {"rows": options.rows, "corpus_mb": round(size / 1e6, 1)}
    if options.json:
        print(json.dumps(report, indent=2))
        return
    print("{selection:.3f} s of processor time, {checks:.4f} s of checks; ratio {ratio:.4f}".format(**report))


if __name__ == "__main__":
    main()
