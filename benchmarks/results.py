"""Which selection methods help on the demo: runs the comparison and rewrites the tables of docs/results.md.

    python benchmarks/results.py [--warehouse DIR] [--strengths 0.6,0.7] [--budgets 0.1,0.05,0.2] [--methods …]
                                 [--seeds 5] [--own-epochs] [--docs FILE] [--json]

The primary comparison is named in docs/results.md, before any number: the first method against uniform at the first
budget on the first strength. Cells that are done are not run again, so the grid may be stopped and taken up at will,
and a table of the part that is there is written with ``--seeds`` or ``--methods`` of that part. Times are wall time of
one cell on this machine, with one thread where OMP_NUM_THREADS=1.
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


def pruned(warehouse: Warehouse, strength: str) -> Path:
    """Return the folder of the demo's model pruned to a share of zeros, made now if it is not there yet."""
    if float(strength) == demo.COMPRESSION["sparsity"]:
        return compressed_demo(warehouse)
    folder = warehouse.root / "models" / f"results-{strength}"
    if not folder.exists():
        from curate.engines.compress import CompressionRequest, compress

        request = CompressionRequest(demo.COMPRESSION["method"], sparsity=float(strength))
        compress(str(demo.model_path()), folder, request)
    return folder


def settings_for(typed: argparse.Namespace, compressed: Path) -> Settings:
    """Return the settings of one comparison."""
    grid = {"methods": typed.methods.split(","), "budgets": typed.budgets.split(","), "seeds": typed.seeds}
    return resolve(
        {
            "warehouse": typed.warehouse,
            "corpus": [str(demo.pool_path())],
            "original": str(demo.model_path()),
            "compressed": str(compressed),
            "evaluate": {"tasks": ["demo"]},
            "recover": DEMO_RECIPE,
            "compare": {**grid, "own_epochs": typed.own_epochs},
        }
    )


def markdown(strength: str, told: dict[str, Any], picture: str | None = None) -> str:
    """Return the picture, where there is one, the table and the verdicts of one strength."""
    left_out = f"; left out: {', '.join(told['left_out'])}" if told["left_out"] else ""
    head = (
        f"### {float(strength):.0%} of the weights pruned\n\n"
        f"Compressed model: mean retention {bounded(told['compressed'])}. {told['seeds']} seeds, "
        f"{told['n_items']:,} held-out rows, {len(told['capabilities'])} capabilities{left_out}.\n"
    )
    if picture:
        head += f"\n![Retention against budget, {float(strength):.0%} of the weights pruned]({picture})\n"
    return "\n".join([head, arms_table(told), "", verdicts(told), "", capabilities(told), ""])


def arms_table(told: dict[str, Any]) -> str:
    """Return a line per arm; the share of noise only where it is known."""
    columns = [
        "method", "budget", "mean retention", "worst capability", "against uniform", "worst against uniform", "p",
        "rows", "tokens trained", "noise kept", "s per cell", "verdict",
    ]  # fmt: skip
    rows = [_arm(line) for line in told["lines"]]
    aligned = ["---"] * 6 + ["---:"] * 5 + ["---"]
    known = [n for n, name in enumerate(columns) if name != "noise kept" or any(row[n] != "–" for row in rows)]
    return "\n".join(f"| {' | '.join(row[n] for n in known)} |" for row in (columns, aligned, *rows))


def _arm(line: dict[str, Any]) -> list[str]:
    ours = line["word"] != "baseline"
    return [
        f"`{line['method']}`" + (" (primary)" if line["primary"] and ours else ""), line["budget"],
        bounded(line["mean"]), bounded(line["worst"]), bounded(line["gain"], "+") if ours else "–",
        bounded(line["worst_gain"], "+") if ours else "–", f"{line['p_holm']:.2g}" if ours else "–",
        f"{line['rows']:,.0f}", f"{line['tokens_trained']:,.0f}",
        "–" if line["noise"] is None else f"{line['noise']:.1%}", f"{line['seconds_training']:.1f}",
        line["word"] if ours else "baseline",
    ]  # fmt: skip


def verdicts(told: dict[str, Any]) -> str:
    """Return a sentence per arm."""
    return "\n".join(wrapped(f"- {line['sentence']}{_harm(line)}", "  ") for line in told["lines"])


def wrapped(text: str, indent: str = "") -> str:
    """Return text in lines of at most 118 characters, options of methods never torn apart."""
    return textwrap.fill(text, 118, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _harm(line: dict[str, Any]) -> str:
    return f" Harmed, below the compressed model: {', '.join(line['harmed'])}." if line["harmed"] else ""


def capabilities(told: dict[str, Any]) -> str:
    """Return the retention of every capability, worst hurt first, a table a budget and a column a method."""
    before = told["retention_compressed"]
    tables = []
    for budget in dict.fromkeys(line["budget"] for line in told["lines"]):
        arms = [line for line in told["lines"] if line["budget"] == budget]
        head = ["capability", "compressed", *(f"`{line['method']}`" for line in arms)]
        rows = [
            [name, f"{before[name]:.3f}", *(f"{line['retention'][name]:.3f}" for line in arms)]
            for name in sorted(before, key=lambda name: before[name])
        ]
        lines = [" | ".join(row) for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
        title = f"Retention of each capability at {budget}, mean over seeds:"
        tables.append("\n".join([title, "", *(f"| {line} |" for line in lines)]))
    return "\n\n".join(tables)


def described(typed: argparse.Namespace) -> str:
    """Return what of the whole grid stands below."""
    asked = (typed.strengths, typed.budgets, typed.methods, typed.seeds)
    if asked == (STRENGTHS, BUDGETS, METHODS, SEEDS):
        return "The whole grid."
    mine, all_ = (", ".join(f"`{one}`" for one in text.split(",")) for text in (typed.methods, METHODS))
    return wrapped(
        f"**A reduced grid**, for want of computing time: strengths {typed.strengths} of {STRENGTHS}; budgets "
        f"{typed.budgets} of {BUDGETS}; seeds {typed.seeds} of {SEEDS}; methods {mine} of {all_}. "
        "`make results` runs the whole of it and goes on from the cells that are there."
    )


def _picture_beside(docs: Path, strength: str, told: dict[str, Any]) -> str | None:
    """Copy the picture of a comparison beside the document and return its name; None where none was drawn."""
    for drawn in (file for file in told["files"] if file.endswith(".png")):
        return shutil.copy(drawn, docs.with_name(f"{docs.stem}-{strength}.png")).name
    return None


def main() -> None:
    """Run what is missing, rewrite the document, print the report as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--warehouse", type=Path, default=Path("warehouse"))
    parser.add_argument("--strengths", default=STRENGTHS)
    parser.add_argument("--budgets", default=BUDGETS)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--own-epochs", action="store_true")
    parser.add_argument("--docs", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--json", action="store_true")
    typed = parser.parse_args()
    found = {}
    with progress.on_stderr():
        for strength in typed.strengths.split(","):
            compressed = pruned(Warehouse(typed.warehouse.absolute()), strength)
            found[strength] = compare(settings_for(typed, compressed))
    sections = [
        markdown(strength, told, _picture_beside(typed.docs, strength, told)) for strength, told in found.items()
    ]
    rewrite(typed.docs, "\n".join([described(typed), "", *sections]))
    if typed.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{typed.docs} is rewritten")


if __name__ == "__main__":
    main()
