"""Targets from the original of the built-in demo, against the planted wrong answers.

    python benchmarks/targets.py demo [--rows 351] [--best-of 8] [--seed 0] [--warehouse DIR] [--json]

Rows are drawn at random; the original answers each until its answer equals the corpus's. Printed: the samples of a row
beside always drawing the most, the share of planted wrong answers that no sample was accepted for, the share of clean
rows with a target, and of these targets the share that is right by the demo's ground truth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from curate import flows
from curate.engines.evaluate.grading import is_accepted
from curate.flows import demo, progress
from curate.flows.cli.render.console import console, grid
from curate.flows.demo.disk import conversation_of, read_rows
from curate.schemas.corpus import example_id

if TYPE_CHECKING:
    from curate.flows import Targets


def drawn(root: Path, rows: int, best_of: int, seed: int) -> Targets:
    """Select rows at random and draw the original's answers to them."""
    options = flows.settings(
        warehouse=root,
        seed=seed,
        select={"method": "uniform", "budget": str(rows)},
        sample={"best_of": best_of, "max_new_tokens": 48},
    )
    with progress.on_stderr():
        return flows.sample(options, flows.select(options).id)


def clean_answers() -> dict[str, tuple[str, bool]]:
    """Return the right answer to every usable row of the demo, and whether its label is wrong, by example id."""
    truth = pq.read_table(demo.truth_path()).to_pylist()
    pairs = zip(read_rows(demo.pool_path()), truth, strict=True)
    return {
        example_id(conversation_of(row)): (one["clean_answer"], one["label_noise"])
        for row, one in pairs
        if one["usable"]
    }


def figures(targets: Targets) -> dict[str, Any]:
    """Return the figures of the table."""
    answers = clean_answers()
    samples = targets.samples().to_pylist()
    answered = {one["example_id"] for one in samples}
    accepted = {one["example_id"]: one["text"] for one in samples if one["accepted"]}
    wrong = {one for one in answered if answers[one][1]}
    clean = answered - wrong
    report = targets.summary()
    return {
        "rows": len(answered),
        "mean_samples": report["mean_samples"],
        "tokens": report["tokens"],
        "tokens_always": report["tokens_always"],
        "wrong_labels": len(wrong),
        "wrong_labels_refused": len(wrong - accepted.keys()),
        "clean_rows": len(clean),
        "clean_rows_solved": len(clean & accepted.keys()),
        "clean_targets_right": sum(is_accepted(accepted[one], [answers[one][0]]) for one in clean & accepted.keys()),
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["demo"])
    parser.add_argument("--rows", type=int, default=351)
    parser.add_argument("--best-of", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warehouse", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.warehouse or Path(temporary)
        result = figures(drawn(root, options.rows, options.best_of, options.seed))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    console().print(grid(("figure", "value"), [[name.replace("_", " "), value] for name, value in result.items()]))


if __name__ == "__main__":
    main()
