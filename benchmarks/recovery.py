"""Compares the recovery methods on the built-in demo: a 10 % PASER selection, a few minutes on two cores.

    python benchmarks/recovery.py [--warehouse DIR] [--only CASE] [--report docs/recovery.md] [--json FILE]

Claims: every method lowers the held-out perplexity of the compressed model; merging keeps every zero, and changes only
the rounding to 16 bits. For comparison, on the same rows: plain LoRA merged, which `recover` refuses, and the same
number of random rows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.flows import demo, dispatch, progress
from curate.flows.demo.report import rewrite
from curate.flows.operations import recover as recovery
from curate.flows.stages.recovering.job_content import job_of
from curate.flows.stages.recovering.request import request_of
from curate.schemas.settings import Settings, resolve
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.schemas.recovery import RecoveryRequest

RANDOM = "mask_lora, random rows"
CASES: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora", "merge": False},
    "mask_lora": {"method": "mask_lora"},
    "scale_lora": {"method": "scale_lora"},
    "perp, norms": {"method": "perp", "parts": ("norms",)},
    "perp, norms + head": {"method": "perp", "parts": ("norms", "head")},
    "full": {"method": "full"},
    "reconstruction alone": {"method": "mask_lora", "reconstruct": True, "epochs": 0},
    "reconstruction, mask_lora": {"method": "mask_lora", "reconstruct": True},
    "mask_lora, teacher": {"method": "mask_lora", "teacher": "original"},
    RANDOM: {"method": "mask_lora"},
}


def choose(root: Path, budget: str, method: str) -> tuple[Settings, str]:
    """Select rows of the demo and return the settings of recovery and the selection id."""
    settings = resolve({"warehouse": root, "threads": 1, "select": {"method": method, "budget": budget}})
    with progress.on_stderr():
        _, selection = dispatch.select(settings)
    return settings, selection


def measure(root: Path, settings: Settings, selection: str, case: dict[str, Any], out: Path) -> dict[str, Any]:
    """Recover once and return one row of the table."""
    from curate.engines.recover import recover

    how = settings.recover.model_copy(update={"teacher": "none", **case})
    case_settings = settings.model_copy(update={"recover": how})
    case_settings, selection = recovery.for_selection(case_settings, selection)
    rows, heldout, job = job_of(Warehouse(root), case_settings, selection, out)
    shutil.rmtree(out, ignore_errors=True)
    start = time.process_time()
    report = recover(
        job["model"],
        rows.to_batches(),
        out,
        request_of(case_settings),
        heldout=heldout.to_batches(),
        original=job["original"],
    )
    row = {name: report[name] for name in ("trainable_share", "perplexity_before", "perplexity_trained")}
    row["seconds"] = time.process_time() - start
    merged = report["perplexity_after"] if report["merged"] else None
    row |= {"learning_rate": report["learning_rate"], "perplexity_merged": merged}
    return row | {"sparsity_merged": report["sparsity_after"] if report["merged"] else None}


def merge_plain_lora(adapter: Path, base: str, heldout: pa.Table, request: RecoveryRequest) -> dict[str, Any]:
    """Return perplexity and sparsity of plain LoRA merged into a sparse model, which `recover` refuses to do."""
    import torch

    from curate.engines.models.loading import load_model
    from curate.engines.models.tokenizers import load_tokenizer
    from curate.engines.recover.methods.sparsity import share_of_zeros
    from curate.engines.recover.training.loss import perplexity
    from curate.engines.recover.training.rows import encode_rows
    from curate.engines.tokens.templates import Template

    model = load_model(adapter, torch.device("cpu"), torch.float32)
    rows = encode_rows(Template(load_tokenizer(Path(base)), "auto", request.max_length), heldout.to_batches())[0]
    return {"perplexity_merged": perplexity(model, rows, 4096), "sparsity_merged": share_of_zeros(model)}


def run(root: Path, budget: str, name: str, out: Path) -> list[dict[str, Any]]:
    """Return the rows of one case: one, or two for plain LoRA."""
    settings, selection = choose(root, budget, "uniform" if name == RANDOM else "paser")
    first = {"case": name, **measure(root, settings, selection, CASES[name], out)}
    if name != "lora":
        return [first]
    settings, selection = recovery.for_selection(settings, selection)
    heldout = job_of(Warehouse(root), settings, selection, out)[1]
    merged = merge_plain_lora(out / "adapter", str(settings.compressed), heldout, request_of(settings))
    return [first, {**first, **merged, "case": "lora, merged all the same"}]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the Markdown table."""
    head = (
        "| method | trained | perplexity before | after training | after merging | zeros after merging | CPU s |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    body = [
        f"| {row['case']} | {_share(row)} | {row['perplexity_before']:.4f} | "
        f"{row['perplexity_trained']:.4f} | {_number(row['perplexity_merged'])} | {_number(row['sparsity_merged'])} | "
        f"{row['seconds']:.0f} |"
        for row in rows
    ]
    return "\n".join([head, *body])


def _share(row: dict[str, Any]) -> str:
    """Return the share of trained parameters; reconstruction trains all weights of one layer at a time."""
    return "layer by layer" if CASES.get(row["case"], {}).get("epochs") == 0 else f"{row['trainable_share']:.2%}"


def _number(value: float | None) -> str:
    return "refused" if value is None else f"{value:.4f}"


def main() -> None:
    """Print the table, and write it into the document on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--budget", default="0.1")
    parser.add_argument("--warehouse", type=Path)
    parser.add_argument(
        "--only", choices=CASES, action="append", help="run this case; repeatable (default: all that --json lacks)"
    )
    parser.add_argument("--report", type=Path, help="document whose table to rewrite")
    parser.add_argument("--json", type=Path, help="file of the results; cases that it holds are not run again")
    options = parser.parse_args()
    results: list[dict[str, Any]] = (
        json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    )
    with tempfile.TemporaryDirectory() as folder:
        root, out = options.warehouse or Path(folder) / "warehouse", Path(folder) / "out"
        finished = {row["case"] for row in results}
        for name in options.only or [case for case in CASES if case not in finished]:
            results = [row for row in results if row["case"].split(", merged")[0] != name]
            results += run(root, options.budget, name, out)
            if options.json is not None:
                options.json.write_text(json.dumps(results, indent=2) + "\n")
    order = list(CASES)
    rows = sorted(results, key=lambda row: order.index(row["case"].split(", merged")[0]))
    recipe = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in demo.RECOVERY.items())
    text = (
        f'{table(rows)}\n\nCross-entropy (`--teacher none`), with "teacher" half of it KL; '
        f"budget {options.budget} by PASER; {recipe}, for full {demo.FULL_LEARNING_RATE:g}; "
        "float32 on one CPU thread;\nthe seconds include the perplexities of 1,650 held-out rows."
    )
    print(text)
    if options.report is not None:
        rewrite(options.report, text)


if __name__ == "__main__":
    main()
