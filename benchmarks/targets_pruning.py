"""What stopping half-drawn samples saves, and which targets it costs: the demo, or sums with any model.

    python benchmarks/targets_pruning.py demo [--rows 351] [--best-of 8] [--seeds 3] [--json]
    python benchmarks/targets_pruning.py sums --model FOLDER [--rows 72] [--best-of 8] [--seeds 3] [--json]

Rows are those of `benchmarks/targets.py`, drawn in waves until an answer equals the reference: without pruning, with
three quarters of the samples, and with half of a wave's partials stopped at some lengths, in one process. Printed for
each, summed over seeds: rows with a target, samples, how many were stopped, tokens, and the seconds of drawing, of the
clock and of the processor.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets import Sampler, prompts

from curate import flows
from curate.engines.evaluate.subject import load_subject
from curate.engines.sample.accept import by_reference
from curate.engines.sample.adaptive import draw_adaptively, waves
from curate.engines.sample.pruning import Pruning
from curate.flows import demo, progress
from curate.flows.cli.render.console import console, grid

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[int | None, int], dict[str, float]]

AT = (2, 4)
"""Tokens at which partials are compared."""
FIGURES = ("solved", "samples", "pruned", "tokens", "seconds", "processor")


def on_demo(root: Path, rows: int, seed: int) -> Draw:
    """Return what draws the original's answers to random rows of the demo, pruned at a length."""
    options: dict[str, Any] = {"warehouse": root, "seed": seed, "select": {"method": "uniform", "budget": str(rows)}}
    chosen = flows.select(flows.settings(**options)).id

    def draw(at: int | None, best_of: int) -> dict[str, float]:
        how = {"best_of": best_of, "max_new_tokens": 48, "prune_at": at, "model": str(demo.model_path())}
        with progress.on_stderr():
            return flows.sample(flows.settings(**options, sample=how), chosen).summary()

    return draw


def on_sums(sampler: Sampler, answers: list[str]) -> Draw:
    """Return what draws answers to sums, pruned at a length."""

    def draw(at: int | None, best_of: int) -> dict[str, float]:
        sampler.pruning = None if at is None else Pruning(at, 0.5)
        rows = draw_adaptively(answers, waves(best_of), sampler.draw, by_reference)
        samples = [sample for row in rows for sample in row.answers]
        return {
            "solved": sum(row.verdict.accepted is not None for row in rows),
            "samples": len(samples),
            "pruned": sum(sample.pruned for sample in samples),
            "tokens": sum(sample.n_tokens for sample in samples),
        }

    return draw


def compared(draws: list[Draw], best_of: int) -> dict[str, dict[str, float]]:
    """Return the figures of each way of drawing, summed over seeds."""
    fewer = 3 * best_of // 4
    ways = {f"best of {best_of}": (None, best_of), f"best of {fewer}": (None, fewer)}
    ways |= {f"best of {best_of}, pruned at {at} tokens": (at, best_of) for at in AT}
    totals = {name: dict.fromkeys(FIGURES, 0.0) for name in ways}
    for draw in draws:
        for name, way in ways.items():
            before, used = time.perf_counter(), time.process_time()
            report = draw(*way)
            report |= {"seconds": time.perf_counter() - before, "processor": time.process_time() - used}
            for figure in FIGURES:
                totals[name][figure] += report[figure]
    return totals


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=["demo", "sums"])
    parser.add_argument("--model", help="of sums: a folder or a hub name")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--best-of", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        draws = []
        subject = load_subject(options.model) if options.what == "sums" else None
        for seed in range(options.seeds):
            if subject is None:
                draws.append(on_demo(Path(root), options.rows or 351, seed))
                continue
            asked = prompts(options.rows or 72, seed)
            draws.append(on_sums(Sampler(subject, asked, seed), [answer for _, answer in asked]))
        draws[0](AT[-1] + 1, options.best_of)  # not measured: reads files and allocates
        result = compared(draws, options.best_of)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    rows = [[name, *(f"{values[figure]:,.0f}" for figure in FIGURES)] for name, values in result.items()]
    console().print(grid(("", *FIGURES), rows))


if __name__ == "__main__":
    main()
