"""Diagnoses on ARC-easy: the spread of a model's score over wordings beside the damage of its compression.

    python benchmarks/diagnosis.py --corpora FOLDER --model SmolLM2-135M-Instruct --compressed NARROW --work FOLDER

NARROW is made by ``curate compress --method width --sparsity 0.15``. Prints the report as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from real_model.rows import multiple_choice

from curate.flows import progress
from curate.flows.operations.diagnose_prompts import diagnose_prompts
from curate.schemas.settings import resolve


def main() -> None:
    """Measure, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpora", "model", "compressed", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--items", type=int, default=60)
    arguments = parser.parse_args()
    tasks = write_items(arguments.corpora, arguments.work)
    with progress.on_stderr():
        report = diagnose_prompts(settings_of(arguments, tasks), str(arguments.compressed))
    print(json.dumps(report, indent=2))


def write_items(corpora: Path, work: Path) -> str:
    """Write the questions of ARC-easy as a task file, and return the task."""
    work.mkdir(parents=True, exist_ok=True)
    rows = multiple_choice(corpora, "arc-easy_test")
    (work / "arc-easy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"choice:{work / 'arc-easy.jsonl'}"


def settings_of(arguments: argparse.Namespace, tasks: str) -> Any:
    """Return the settings of the diagnosis."""
    evaluated = {"tasks": (tasks,), "limit": arguments.items}
    where = {"warehouse": arguments.work / "warehouse", "threads": 1}
    return resolve({**where, "original": str(arguments.model), "evaluate": evaluated})


if __name__ == "__main__":
    main()
