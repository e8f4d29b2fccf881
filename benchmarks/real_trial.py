"""The trial on a real model: SmolLM2-135M-Instruct, compressed, and brought back by every method with two recipes.

    python benchmarks/real_trial.py --corpora FOLDER --model SmolLM2-135M-Instruct --size screening

Runs the cells that are missing in ``--results`` and prints the table of `report`. A run that is stopped goes on, on
this machine or on another that has the results, and several processes share the cells. ``--report`` prints only.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from real_model.cells import Trial, attempt
from real_model.measures import read_tests
from real_model.pair import PAIRS
from real_model.plan import SIZES, cells
from real_model.planned import FIRST, PROMPTS, REPEATED, SECONDARY, planned
from real_model.report import read_answers, report
from real_model.rows import prepare
from transformers import AutoTokenizer

RESULTS = Path(__file__).parent / "real_model" / "results"


def main() -> None:
    """Run what is missing, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, help="folder of the corpora")
    parser.add_argument("--model", type=Path, help="folder of the original")
    parser.add_argument("--work", type=Path, default=Path("work/real-model"), help="warehouses, models and caches")
    parser.add_argument("--results", type=Path, default=RESULTS, help="answers of the cells")
    parser.add_argument("--size", choices=SIZES, default="screening")
    parser.add_argument("--pair", choices=PAIRS, default="blocks")
    parser.add_argument("--pool", choices=("clean", "noisy"), default="clean")
    parser.add_argument("--arms", type=lambda text: text.split(","), help="these arms only, as uniform,paser")
    parser.add_argument("--recipes", type=lambda text: text.split(","), help="these recipes only, as kl,ce")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="print the report of the results that there are")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not arguments.report:
        run(arguments)
    answers = read_answers(arguments.results / arguments.size / f"{arguments.pair}-{arguments.pool}")
    if arguments.size == "confirmation":
        first = (arguments.pair, arguments.pool) == ("blocks", "clean")
        for comparisons in ((FIRST, *SECONDARY), PROMPTS) if first else (REPEATED,):
            print(f"{planned(answers, comparisons)}\n")
    print(report(answers))


def run(arguments: argparse.Namespace) -> None:
    """Run the missing cells of one size, pair and pool."""
    size, tokenizer = SIZES[arguments.size], AutoTokenizer.from_pretrained(arguments.model)
    rows = prepare(arguments.corpora, arguments.work / arguments.size, tokenizer, size)
    tests = read_tests(arguments.corpora, rows, size, arguments.model)
    results = arguments.results / arguments.size
    trial = Trial(arguments.model, tokenizer, rows, tests, size, arguments.work, results)
    directory = f"{arguments.pair}-{arguments.pool}"
    trial.reference("original", arguments.model, directory)
    trial.reference("compressed", trial.compressed(arguments.pair), directory)
    todo = [
        cell
        for cell in cells(size, arguments.pair, arguments.pool)
        if (arguments.arms is None or cell.arm in arguments.arms)
        and (arguments.recipes is None or cell.recipe in arguments.recipes)
    ]
    for number, cell in enumerate(todo, 1):
        start = time.monotonic()
        outcome = attempt(trial, cell)
        print(f"{number} of {len(todo)}: {cell.file} {outcome} ({time.monotonic() - start:.0f} s)", file=sys.stderr)


if __name__ == "__main__":
    main()
