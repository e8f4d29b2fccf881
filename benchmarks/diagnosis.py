"""Diagnoses on ARC-easy: the spread of a score over wordings beside the damage of a compression, and paths.

    python benchmarks/diagnosis.py prompts --corpora FOLDER --model NARROW --original SmolLM2 --work FOLDER --items 60
    python benchmarks/diagnosis.py paths --corpora FOLDER --model SmolLM2 --work FOLDER --items 24 --simulations 40

NARROW is made by ``curate compress --method width --sparsity 0.15``. Prints the report as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from real_model.rows import multiple_choice

from curate.flows import progress
from curate.flows.operations.diagnose_paths import diagnose_paths
from curate.flows.operations.diagnose_prompts import diagnose_prompts
from curate.schemas.settings import Settings, resolve

VERBS = {"prompts": diagnose_prompts, "paths": diagnose_paths}


def main() -> None:
    """Measure, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=list(VERBS))
    for name in ("corpora", "model", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--original", type=Path)
    parser.add_argument("--items", type=int, default=60)
    parser.add_argument("--simulations", type=int, default=40)
    arguments = parser.parse_args()
    with progress.on_stderr():
        report = VERBS[arguments.verb](settings_of(arguments), str(arguments.model))
    print(json.dumps(report, indent=2))


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Write the questions of ARC-easy as a task file, and return the settings of the diagnosis."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    tasks = arguments.work / "arc-easy.jsonl"
    rows = multiple_choice(arguments.corpora, "arc-easy_test")
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    original = {} if arguments.original is None else {"original": str(arguments.original)}
    evaluated = {"tasks": (f"choice:{tasks}",), "limit": arguments.items}
    searched = {"simulations": arguments.simulations}
    where = {"warehouse": arguments.work / "warehouse", "threads": 1}
    return resolve({**where, **original, "evaluate": evaluated, "diagnose": searched})


if __name__ == "__main__":
    main()
