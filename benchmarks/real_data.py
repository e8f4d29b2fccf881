"""Compares the selection methods on real data: trains a model from scratch, compresses it, runs the comparison.

    python benchmarks/real_data.py --corpora FOLDER --work DIR [--size cpu|gpu] [--device cuda] [--methods …]
                                   [--compressions wanda,blocks] [--seeds 5] [--docs FILE] [--json FILE]
    python benchmarks/real_data.py --corpora FOLDER --work DIR --try-rates 1e-3,3e-3    # uniform only

The primary comparison is fixed in docs/real-data.md, before any result. The work folder, outside the project, caches
rows, models, and the warehouse with its cells, so the grid can be stopped and resumed. ``--seeds`` and ``--methods``
select a part of it; ``--seeds 5,3`` runs five seeds of the first compression and three of the second. The size ``gpu``
has not been run on a GPU yet.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from real_comparison import BUDGET, chances, compare_methods, try_uniform
from real_page import dense_tasks, section, training_summary
from real_prepare import compress_dense, prepare
from real_sizes import SIZES
from results import wrapped

from curate.flows import progress
from curate.flows.demo.report import rewrite
from curate.schemas.errors import UsageError
from curate.schemas.settings import Settings, resolve

if TYPE_CHECKING:
    from real_sizes import ComparisonSize

METHODS = "paser,paser:rank=random,anchored,donod,donod:don_direction=literal"
SEEDS = "5"
LONGEST_FACT_TOKENS = 16


def settings_for(
    options: argparse.Namespace,
    size: ComparisonSize,
    prepared: dict[str, Any],
    folder: Path,
    seeds: int,
    rate: float | None = None,
) -> Settings:
    """Return the settings of the comparison on one compressed model."""
    # The published figures are those of cross-entropy; `curate compare` learns from the original by default.
    recipe = {**size.recipe, "teacher": "none"} | ({} if rate is None else {"learning_rate": rate})
    return resolve(
        {
            "warehouse": options.work / "warehouse",
            "corpus": [prepared["pool"]],
            "original": prepared["model"],
            "compressed": str(folder),
            "embed": {"device": options.device},
            "score": {"max_length": size.model.positions, "device": options.device},
            "evaluate": {"tasks": prepared["tasks"], "metric": "token_accuracy", "max_new_tokens": LONGEST_FACT_TOKENS},
            "recover": recipe,
            "compare": {"methods": options.methods.split(","), "budgets": [BUDGET], "seeds": seeds},
        }
    )


def title(name: str, arguments: dict[str, Any], layers: int) -> str:
    """Return the heading of a compression."""
    if name == "blocks":
        return f"{arguments['n_blocks']} of {layers} blocks removed"
    return f"Wanda, {arguments['sparsity']:.0%} of the weights pruned"


def grid_summary(options: argparse.Namespace, size: ComparisonSize) -> str:
    """Return which part of the grid was run, and the training settings."""
    requested = (options.compressions.split(","), options.methods, options.seeds)
    recipe = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in size.recipe.items())
    training_settings = f"Training of a cell: {recipe}; equal tokens for every arm."
    if requested == (list(size.compressions), METHODS, SEEDS):
        return wrapped(f"The whole grid. {training_settings}")
    methods, all_methods = (
        ", ".join(f"`{method}`" for method in text.split(",")) for text in (options.methods, METHODS)
    )
    return wrapped(
        f"**A reduced grid** (limited computing time): compressions {options.compressions} of "
        f"{','.join(size.compressions)}; seeds {options.seeds} of {SEEDS}; methods {methods} of {all_methods}. "
        f"{training_settings}"
    )


def seeds_of(options: argparse.Namespace) -> list[int]:
    """Return the number of seeds of each compression.

    Raises
    ------
    UsageError
        When ``--seeds`` is neither one number nor one for each compression.
    """
    counts, n = options.seeds.split(","), len(options.compressions.split(","))
    if len(counts) not in (1, n) or not all(count.isdecimal() and int(count) for count in counts):
        raise UsageError(f"--seeds {options.seeds!r} is neither a number nor one for each of {n} compressions")
    return [int(count) for count in (counts if len(counts) == n else counts * n)]


def main() -> None:
    """Run what is missing, rewrite the document, write the reports as JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpora", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--work", type=Path, required=True, help="folder for rows, models and cells")
    parser.add_argument("--size", choices=list(SIZES), default="cpu")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", default=SEEDS, help="one number, or one for each compression")
    parser.add_argument("--compressions", default="wanda,blocks")
    parser.add_argument("--try-rates", help="learning rates to try with uniform only, instead of the grid")
    parser.add_argument("--docs", type=Path, default=Path("docs/results/real-data.md"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.work = options.work.absolute()
    with progress.on_stderr():
        run(options, SIZES[options.size])


def run(options: argparse.Namespace, size: ComparisonSize) -> None:
    """Prepare, then try learning rates or run the comparison."""
    prepared = prepare(options.work, options.corpora, size, options.device)
    reports, sections = {}, []
    for name, seeds in zip(options.compressions.split(","), seeds_of(options), strict=True):
        folder = compress_dense(options.work, prepared, name, size.compressions[name], options.device)
        if options.try_rates:
            for rate in options.try_rates.split(","):
                print(name, rate, try_uniform(settings_for(options, size, prepared, folder, seeds, float(rate))))
            continue
        settings = settings_for(options, size, prepared, folder, seeds)
        accuracy, recall, losses = compare_methods(settings, name == next(iter(size.compressions)))
        reports[name] = {"token_accuracy": accuracy, "recall": recall, "summaries": losses}
        sections.append(section(title(name, size.compressions[name], size.model.layers), accuracy, recall, losses))
    if options.try_rates:
        return
    dense = dense_tasks(next(iter(reports.values()))["summaries"]["dense"], chances(prepared))
    heading = "What the dense model knows; exact answers less than five points above chance do not count:"
    summaries = [grid_summary(options, size), training_summary(options.size, prepared, options.device)]
    rewrite(options.docs, "\n\n".join([*summaries, heading, dense, *sections]) + "\n")
    if options.json:
        options.json.write_text(json.dumps({"prepared": prepared, **reports}, indent=2))
    print(f"{options.docs} is rewritten")


if __name__ == "__main__":
    main()
