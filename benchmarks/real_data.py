"""Which selection methods help on real data: trains a model from nothing, compresses it, and holds the comparison.

    python benchmarks/real_data.py --corpora FOLDER --work DIR [--size cpu|gpu] [--device cuda] [--methods …]
                                   [--compressions wanda,blocks] [--seeds 5] [--docs FILE] [--json FILE]
    python benchmarks/real_data.py --corpora FOLDER --work DIR --try-rates 1e-3,3e-3    # on uniform alone

The primary comparison is named in docs/real-data.md, before any number. Everything that is made is kept in the work
folder, outside the project: rows, models, and the warehouse with its cells. What is there is not made again, so the
grid may be stopped and taken up at will, and a part of it is written with ``--seeds`` or ``--methods`` of that part;
``--seeds 5,3`` are five of the first compression and three of the second.
The size ``gpu`` was never run on a GPU: on the machine at hand there was none.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from real_page import dense_tasks, how, section
from real_prepare import compressed, prepared
from real_rows import Row, chance_of
from real_sizes import SIZES
from results import wrapped

from curate.flows import pipeline, progress, stages
from curate.flows.comparison.grid import BASELINE, Cell, cells
from curate.flows.comparison.report import report, yardstick
from curate.flows.comparison.run import compare, grounded, selecting, tokens_kept, training
from curate.flows.demo.report import rewrite
from curate.flows.session import session
from curate.flows.stages.selecting.request import resolve_request
from curate.schemas.errors import UsageError
from curate.schemas.evaluation import CLOSED_BOOK
from curate.schemas.settings import Settings, resolve

if TYPE_CHECKING:
    from real_page import Summary
    from real_sizes import Size

METHODS = "paser,paser:rank=random,anchored,donod,donod:don_direction=literal"
SEEDS = "5"
BUDGET = "0.1"
LONGEST_FACT_TOKENS = 16


def settings_for(
    typed: argparse.Namespace, size: Size, known: dict[str, Any], folder: Path, seeds: int, rate: float | None = None
) -> Settings:
    """Return the settings of the comparison on one compressed model."""
    recipe = size.recipe if rate is None else {**size.recipe, "learning_rate": rate}
    return resolve(
        {
            "warehouse": typed.work / "warehouse",
            "corpus": [known["pool"]],
            "original": known["model"],
            "compressed": str(folder),
            "embed": {"device": typed.device},
            "score": {"max_length": size.model.positions, "device": typed.device},
            "evaluate": {"tasks": known["tasks"], "metric": "token_accuracy", "max_new_tokens": LONGEST_FACT_TOKENS},
            "recover": recipe,
            "compare": {"methods": typed.methods.split(","), "budgets": [BUDGET], "seeds": seeds},
        }
    )


def tried(settings: Settings) -> dict[str, float]:
    """Return the mean retention of `uniform` under seed 0, and of the compressed model: to choose a training by."""
    alone = settings.model_copy(update={"compare": settings.compare.model_copy(update={"methods": (BASELINE,)})})
    with session("compare", alone) as run:
        dense, damaged = (
            run.call(stages.evaluate, run.warehouse, alone, model, None, {})
            for model in (alone.original, alone.compressed)
        )
        ground, cell = grounded(run, alone), Cell(BASELINE, BUDGET, 0)
        chosen = pipeline.run(run.warehouse, resolve_request(selecting(alone, ground, cell)), run.call)
        request = training(alone, ground, cell, tokens_kept(run.warehouse, chosen, ground.scores))
        made = {cell: (chosen, run.call(stages.trial, run.warehouse, alone, chosen, request))}
        told = report(run.warehouse, alone, made, yardstick(run.warehouse, dense, "token_accuracy"), damaged, 0)
    line = told["lines"][0]
    return {
        "compressed": told["compressed"]["value"], "uniform": line["mean"]["value"], "seconds": line["seconds_training"]
    }  # fmt: skip


def measured(settings: Settings, primary: bool) -> tuple[dict[str, Any], dict[str, Any] | str, dict[str, Summary]]:
    """Run the cells that are missing; return the reports on token accuracy and on recall, and the loss by source.

    Where `primary` is not set, every arm is corrected for the number of arms.
    """
    told = compare(settings)
    with session("compare", settings) as run:
        dense, damaged = (
            run.call(stages.evaluate, run.warehouse, settings, model, None, {})
            for model in (settings.original, settings.compressed)
        )
        made = {
            cell: (told["cells"][cell.name]["selection"], told["cells"][cell.name]["evaluation"])
            for cell in cells(settings)
        }
        unnamed = _unnamed(settings)
        if not primary:
            known = yardstick(run.warehouse, dense, "token_accuracy")
            told = report(run.warehouse, unnamed, made, known, damaged, told["n_excluded"])
        recall: dict[str, Any] | str
        try:
            by_heart = yardstick(run.warehouse, dense, "score", CLOSED_BOOK)
            recall = report(run.warehouse, unnamed, made, by_heart, damaged, told["n_excluded"])
        except UsageError:
            recall = "Nothing counts: the dense model answers no source's questions better than chance by five points."
        losses = {"dense": _summary(run.warehouse, [dense]), "compressed": _summary(run.warehouse, [damaged])}
        for arm in dict.fromkeys(cell.arm for cell in made):
            mine = [evaluation for cell, (_, evaluation) in made.items() if cell.arm == arm]
            losses[f"`{arm}`"] = _summary(run.warehouse, mine)
    return told, recall, losses


def _unnamed(settings: Settings) -> Settings:
    """Return settings under which no comparison is the primary one: the baseline's with itself is no comparison."""
    methods = (BASELINE, *(method for method in settings.compare.methods if method != BASELINE))
    return settings.model_copy(update={"compare": settings.compare.model_copy(update={"methods": methods})})


def _summary(warehouse: Any, evaluations: list[str]) -> Summary:
    """Return every task's line, its loss the mean over evaluations."""
    tables = [warehouse.read("evaluation", one, "summary").to_pylist() for one in evaluations]
    found = {}
    for lines in zip(*tables, strict=True):
        nll = None if lines[0]["nll"] is None else float(np.mean([line["nll"] for line in lines]))
        found[lines[0]["task"]] = {**lines[0], "nll": nll}
    return found


def chances(known: dict[str, Any]) -> dict[str, float]:
    """Return, for every task, the share of its most frequent answer."""
    found = {}
    for word in known["tasks"]:
        kind, _, path = word.partition(":")
        with open(path, encoding="utf-8") as stream:
            values = [json.loads(line) for line in stream]
        rows = [Row("", "", one["answer"] if "answer" in one else one["output"]) for one in values]
        found[f"{kind}:{Path(path).stem}"] = chance_of(rows)
    return found


def title(name: str, asked: dict[str, Any], layers: int) -> str:
    """Return what a compression is called."""
    if name == "blocks":
        return f"{asked['n_blocks']} of {layers} blocks removed"
    return f"Wanda, {asked['sparsity']:.0%} of the weights pruned"


def described(typed: argparse.Namespace, size: Size) -> str:
    """Return what of the whole grid stands below."""
    asked = (typed.compressions.split(","), typed.methods, typed.seeds)
    recipe = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in size.recipe.items())
    training_told = f"Training of a cell: {recipe}; every arm as many tokens."
    if asked == (list(size.compressions), METHODS, SEEDS):
        return wrapped(f"The whole grid. {training_told}")
    mine, all_ = (", ".join(f"`{one}`" for one in text.split(",")) for text in (typed.methods, METHODS))
    return wrapped(
        f"**A reduced grid**, for want of computing time: compressions {typed.compressions} of "
        f"{','.join(size.compressions)}; seeds {typed.seeds} of {SEEDS}; methods {mine} of {all_}. {training_told}"
    )


def seeds_of(typed: argparse.Namespace) -> list[int]:
    """Return the number of seeds of each compression.

    Raises
    ------
    UsageError
        When they are neither one number nor one for each.
    """
    given, n = typed.seeds.split(","), len(typed.compressions.split(","))
    if len(given) not in (1, n) or not all(one.isdecimal() and int(one) for one in given):
        raise UsageError(f"--seeds {typed.seeds!r} is neither a number nor one for each of {n} compressions")
    return [int(one) for one in (given if len(given) == n else given * n)]


def main() -> None:
    """Run what is missing, rewrite the document, write the reports as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpora", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--work", type=Path, required=True, help="folder for rows, models and cells")
    parser.add_argument("--size", choices=list(SIZES), default="cpu")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", default=SEEDS, help="one number, or one for each compression")
    parser.add_argument("--compressions", default="wanda,blocks")
    parser.add_argument("--try-rates", help="learning rates to try on uniform alone, instead of the grid")
    parser.add_argument("--docs", type=Path, default=Path("docs/real-data.md"))
    parser.add_argument("--json", type=Path)
    typed = parser.parse_args()
    typed.work = typed.work.absolute()
    with progress.on_stderr():
        run(typed, SIZES[typed.size])


def run(typed: argparse.Namespace, size: Size) -> None:
    """Prepare, then try rates or hold the comparison."""
    known = prepared(typed.work, typed.corpora, size, typed.device)
    found, sections = {}, []
    for name, seeds in zip(typed.compressions.split(","), seeds_of(typed), strict=True):
        folder = compressed(typed.work, known, name, size.compressions[name], typed.device)
        if typed.try_rates:
            for rate in typed.try_rates.split(","):
                print(name, rate, tried(settings_for(typed, size, known, folder, seeds, float(rate))))
            continue
        settings = settings_for(typed, size, known, folder, seeds)
        told, recall, losses = measured(settings, name == next(iter(size.compressions)))
        found[name] = {"token_accuracy": told, "recall": recall, "summaries": losses}
        sections.append(section(title(name, size.compressions[name], size.model.layers), told, recall, losses))
    if typed.try_rates:
        return
    dense = dense_tasks(next(iter(found.values()))["summaries"]["dense"], chances(known))
    beside = "What the dense model knows; exact answers less than five points above chance do not count:"
    parts = [described(typed, size), how(typed.size, known, typed.device), beside, dense, *sections]
    rewrite(typed.docs, "\n\n".join(parts) + "\n")
    if typed.json:
        typed.json.write_text(json.dumps({"prepared": known, **found}, indent=2))
    print(f"{typed.docs} is rewritten")


if __name__ == "__main__":
    main()
