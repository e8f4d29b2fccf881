"""Compares all selection methods on the demo and rewrites the tables in docs/results/.

    python benchmarks/results.py [--warehouse DIR] [--strengths 0.6,0.7] [--budgets 0.1,0.05,0.2] [--methods …]
                                 [--seeds 5] [--own-epochs] [--docs FOLDER] [--json]

The primary comparison is fixed in docs/results.md: the first method against uniform at the first budget and the first
strength. Finished cells are not run again, so the grid can be stopped and continued; ``--seeds`` or ``--methods`` write
the tables of a part of it. Seconds are wall time of one cell, with one thread where OMP_NUM_THREADS=1. Each strength
has a page of its own, ``pruned-60.md`` for 0.6, whose text between two markers is replaced.
"""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from pathlib import Path
from typing import Any

from curate.flows import demo, progress
from curate.flows.cli.render.comparison import bounded
from curate.flows.comparison.run import DEMO_RECIPE, compare
from curate.flows.demo.pair import compressed_demo
from curate.flows.demo.report import rewrite
from curate.schemas.settings import Settings, resolve
from curate.storage.warehouse.warehouse import Warehouse

STRENGTHS = "0.6,0.7"
BUDGETS = "0.1,0.05,0.2"
METHODS = (
    "paser,paser:rank=random,paser:allocation=recoverability,paser:rank=donod,paser:filter=don:filter_share=0.2,"
    "donod,donod:don_direction=literal,anchored"
)
SEEDS = 5


def pruned_model(warehouse: Warehouse, strength: str) -> Path:
    """Return the folder of the demo's model pruned to a share of zeros; prunes it if the folder does not exist."""
    if float(strength) == demo.COMPRESSION["sparsity"]:
        return compressed_demo(warehouse)
    folder = warehouse.root / "models" / f"results-{strength}"
    if not folder.exists():
        from curate.engines.compress import CompressionRequest, compress

        request = CompressionRequest(demo.COMPRESSION["method"], sparsity=float(strength))
        compress(str(demo.model_path()), folder, request)
    return folder


def settings_for(arguments: argparse.Namespace, compressed: Path) -> Settings:
    """Return the settings of one comparison."""
    grid = {"methods": arguments.methods.split(","), "budgets": arguments.budgets.split(","), "seeds": arguments.seeds}
    return resolve(
        {
            "warehouse": arguments.warehouse,
            "corpus": [str(demo.pool_path())],
            "original": str(demo.model_path()),
            "compressed": str(compressed),
            "evaluate": {"tasks": ["demo"]},
            # The published grid is one of cross-entropy; `curate compare` learns from the original by default.
            "recover": {**DEMO_RECIPE, "teacher": "none"},
            "compare": {**grid, "own_epochs": arguments.own_epochs},
        }
    )


def markdown(strength: str, report: dict[str, Any], picture: str | None = None) -> str:
    """Return the results of one strength: picture if there is one, table, verdicts, retention of each capability."""
    left_out = f"; left out: {', '.join(report['left_out'])}" if report["left_out"] else ""
    head = (
        f"Compressed model: mean retention {bounded(report['compressed'])}. {report['seeds']} seeds, "
        f"{report['n_items']:,} held-out rows, {len(report['capabilities'])} capabilities{left_out}.\n"
    )
    if picture:
        head += f"\n![Retention against budget, {float(strength):.0%} of the weights pruned]({picture})\n"
    parts = [head, arms_table(report), "", "## Verdicts", "", verdicts(report), "", "## By capability", ""]
    return "\n".join([*parts, capabilities(report), ""])


def arms_table(report: dict[str, Any]) -> str:
    """Return a table with one line per arm; the share of noise where it is known."""
    columns = [
        "method", "budget", "mean retention", "worst capability", "against uniform", "worst against uniform", "p",
        "rows", "tokens trained", "noise kept", "s per cell", "verdict",
    ]  # fmt: skip
    rows = [_arm(line) for line in report["lines"]]
    aligned = ["---"] * 6 + ["---:"] * 5 + ["---"]
    shown = [n for n, name in enumerate(columns) if name != "noise kept" or any(row[n] != "–" for row in rows)]
    return "\n".join(f"| {' | '.join(row[n] for n in shown)} |" for row in (columns, aligned, *rows))


def _arm(line: dict[str, Any]) -> list[str]:
    compared = line["word"] != "baseline"
    return [
        f"`{line['method']}`" + (" (primary)" if line["primary"] and compared else ""), line["budget"],
        bounded(line["mean"]), bounded(line["worst"]), bounded(line["gain"], "+") if compared else "–",
        bounded(line["worst_gain"], "+") if compared else "–", f"{line['p_holm']:.2g}" if compared else "–",
        f"{line['rows']:,.0f}", f"{line['tokens_trained']:,.0f}",
        "–" if line["noise"] is None else f"{line['noise']:.1%}", f"{line['seconds_training']:.1f}",
        line["word"] if compared else "baseline",
    ]  # fmt: skip


def verdicts(report: dict[str, Any]) -> str:
    """Return one sentence per arm."""
    return "\n".join(wrapped(f"- {line['sentence']}{_harm(line)}", "  ") for line in report["lines"])


def wrapped(text: str, indent: str = "") -> str:
    """Return text in lines of at most 118 characters, options of methods never split."""
    return textwrap.fill(text, 118, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _harm(line: dict[str, Any]) -> str:
    return f" Harmed, below the compressed model: {', '.join(line['harmed'])}." if line["harmed"] else ""


def capabilities(report: dict[str, Any]) -> str:
    """Return one table per budget: retention of each capability, the most damaged first, one column per method."""
    before = report["retention_compressed"]
    tables = []
    for budget in dict.fromkeys(line["budget"] for line in report["lines"]):
        arms = [line for line in report["lines"] if line["budget"] == budget]
        head = ["capability", "compressed", *(f"`{line['method']}`" for line in arms)]
        rows = [
            [name, f"{before[name]:.3f}", *(f"{line['retention'][name]:.3f}" for line in arms)]
            for name in sorted(before, key=lambda name: before[name])
        ]
        lines = [" | ".join(row) for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
        title = f"Retention of each capability at {budget}, mean over seeds:"
        tables.append("\n".join([title, "", *(f"| {line} |" for line in lines)]))
    return "\n\n".join(tables)


def described(arguments: argparse.Namespace) -> str:
    """Return which part of the whole grid the tables hold."""
    grid = (arguments.strengths, arguments.budgets, arguments.methods, arguments.seeds)
    if grid == (STRENGTHS, BUDGETS, METHODS, SEEDS):
        return "The whole grid."
    run, every = (", ".join(f"`{one}`" for one in text.split(",")) for text in (arguments.methods, METHODS))
    return wrapped(
        f"**A reduced grid**: strengths {arguments.strengths} of {STRENGTHS}; budgets {arguments.budgets} of "
        f"{BUDGETS}; seeds {arguments.seeds} of {SEEDS}; methods {run} of {every}. "
        "`make results` runs the rest of it and reuses the cells that exist."
    )


def page_of(docs: Path, strength: str) -> Path:
    """Return the page of a strength: ``pruned-60.md`` for 0.6."""
    return docs / f"pruned-{100 * float(strength):.0f}.md"


def _picture_beside(page: Path, report: dict[str, Any]) -> str | None:
    """Copy the picture of a comparison beside its page and return the file name; None where none was drawn."""
    for drawn in (file for file in report["files"] if file.endswith(".png")):
        return shutil.copy(drawn, page.with_suffix(".png")).name
    return None


def main() -> None:
    """Run the missing cells, rewrite the pages, and print the reports as JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--warehouse", type=Path, default=Path("warehouse"))
    parser.add_argument("--strengths", default=STRENGTHS)
    parser.add_argument("--budgets", default=BUDGETS)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--own-epochs", action="store_true")
    parser.add_argument("--docs", type=Path, default=Path("docs/results"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    reports = {}
    with progress.on_stderr():
        for strength in arguments.strengths.split(","):
            compressed = pruned_model(Warehouse(arguments.warehouse.absolute()), strength)
            reports[strength] = compare(settings_for(arguments, compressed))
    for strength, report in reports.items():
        page = page_of(arguments.docs, strength)
        text = markdown(strength, report, _picture_beside(page, report))
        rewrite(page, "\n".join([described(arguments), "", text]))
    print(json.dumps(reports, indent=2) if arguments.json else f"the pages in {arguments.docs} are rewritten")


if __name__ == "__main__":
    main()
