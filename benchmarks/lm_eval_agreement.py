"""Multiple choice asked by lm-eval and by `curate evaluate`, item by item, on one model.

    python benchmarks/lm_eval_agreement.py MODEL --items arc-easy_test.parquet --layout cloze --out work/arc-easy
    python benchmarks/lm_eval_agreement.py MODEL --items continuation:wiki.txt --layout continuation --out work/wiki

Claim: both give every item the same score under `acc`, `acc_norm`, `acc_bytes` and `acc_mutual_info`, up to ties within
a float32 sum. `--items` is a task of kind choice or continuation, or a Parquet file of LLM-Adapters, whose column
`instruction` holds the options. Answers are kept in `--out`, a line per item and side, and a run continues after them;
`--sides` runs one side, so that the two can share a machine. Needs the extra "eval".
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from curate.engines.evaluate import EvaluateConfig, evaluate, load_subject
from curate.engines.evaluate.harness import simple_evaluate
from curate.engines.evaluate.shared_prefix import score_options
from curate.schemas.evaluation import ITEMS
from curate.storage.inputs.task_files import parse_task, read_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from curate.engines.evaluate import Subject

    Item = dict[str, Any]
    Scores = dict[str, float]

METRICS = {"acc": "none", "acc_norm": "bytes", "acc_bytes": "bytes", "acc_mutual_info": "unconditional"}
"""lm-eval's metric to curate's `--normalise`."""
TEXTS = {
    "cloze": "Question: {{question}}\nAnswer:",
    "continuation": "{{question}}",
    "letter": "{{question}}\n{% for o in choices %}{{letters[loop.index0]}}. {{o}}\n{% endfor %}Answer:",
}
SIDES = ("curate", "lm-eval")
SLICE = 200
"""Items between two writes of answers."""
BATCH_TOKENS = 32_768
"""Enough for items whose prefixes have one length to share a pass."""


def items_of(word: str) -> list[Item]:
    """Return the items of a task, or of a Parquet file of LLM-Adapters."""
    if Path(word).suffix == ".parquet" and "instruction" in pq.read_schema(word).names:
        return list(_llm_adapters(word))
    return list(read_items(parse_task(word)))


def _llm_adapters(path: str) -> Iterator[Item]:
    for number, row in enumerate(pq.read_table(path).to_pylist()):
        asked = re.fullmatch(r".*? question: (.*)\n\nAnswer1: (.*)\n\nAnswer format: .*", row["instruction"], re.DOTALL)
        if asked is None:
            raise ValueError(f"{path}, row {number}: no question with options: {row['instruction']!r}")
        options = re.split(r" Answer\d: ", asked[2])
        turn = {"role": "user", "content": asked[1], "tool_call": False}
        fixed = {"item_id": str(number), "task": "t", "kind": "choice", "group": "t", "chance": 1 / len(options)}
        yield {**fixed, "messages": [turn], "references": options, "answer": int(row["answer"][len("answer") :]) - 1}


def ask_curate(items: Sequence[Item], subject: Subject, layout: Any, _: Path) -> list[Scores]:
    """Return the scores by `curate evaluate`, and the log-likelihood of the right option."""
    batch = pa.RecordBatch.from_pylist([{**item, "kind": "choice"} for item in items], schema=ITEMS)
    scores: list[Scores] = [{} for _ in items]
    # The likelihoods of the options are the same for all ways of comparing them: the model is asked once.
    remembered: list[Any] = []

    def once(*arguments: Any) -> Any:
        if not remembered:
            remembered.append(score_options(*arguments))
        return remembered[0]

    for normalise in dict.fromkeys(METRICS.values()):
        how: Any = {"option_layout": layout, "normalise": normalise, "batch_tokens": BATCH_TOKENS}
        with patch("curate.engines.evaluate.run.score_options", once):
            (answered,) = evaluate([batch], subject, EvaluateConfig(max_length=2048, **how))
        for row, kept in zip(answered.to_pylist(), scores, strict=True):
            kept |= {metric: row["score"] for metric, name in METRICS.items() if name == normalise}
            kept["log_likelihood"] = -row["nll"] * row["n_tokens"]
    return scores


def ask_lm_eval(items: Sequence[Item], subject: Subject, layout: Any, folder: Path) -> list[Scores]:
    """Return the scores by lm-eval, from a task file written for these items."""
    asked = [
        {
            "question": item["messages"][-1]["content"],
            "choices": item["references"],
            "letters": "ABCDEFGHIJ"[: len(item["references"])],
            "answer": item["answer"],
        }
        for item in items
    ]
    data = folder / "items.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in asked), "utf-8")
    task = {
        "task": "agreement",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": TEXTS[layout],
        "doc_to_choice": "{{letters | list}}" if layout == "letter" else "{{choices}}",
        "doc_to_target": "answer",
        "target_delimiter": " ",
        "metric_list": [{"metric": metric} for metric in METRICS],
    }
    file = folder / "task.yaml"
    # JSON is YAML, but the line of the name must be a plain one.
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in task.items()), "utf-8")
    samples = simple_evaluate(subject, [str(file)])["samples"]["agreement"]
    rows = sorted(samples, key=lambda sample: sample["doc_id"])
    return [
        {metric: float(row[metric]) for metric in METRICS}
        | {"log_likelihood": float(row["filtered_resps"][item["answer"]][0])}
        for row, item in zip(rows, items, strict=True)
    ]


def run_side(side: str, items: Sequence[Item], options: argparse.Namespace) -> None:
    """Ask the items that have no answer yet, and append the answers to the side's file."""
    file = options.out / f"{side}.jsonl"
    done = len(_answers(options.out, side))
    ask = ask_curate if side == "curate" else ask_lm_eval
    subject = load_subject(options.model, device="cpu", dtype="float32") if done < len(items) else None
    for start in range(done, len(items), SLICE):
        began, chosen = time.process_time(), items[start : start + SLICE]
        assert subject is not None
        scores = ask(chosen, subject, options.layout, options.out)
        seconds = (time.process_time() - began) / len(chosen)
        with file.open("a", encoding="utf-8") as out:
            out.write("".join(json.dumps({**one, "seconds": seconds}) + "\n" for one in scores))
        print(f"{side}: {start + len(chosen)} of {len(items)} items, {seconds:.2f} s each", flush=True)


def _answers(folder: Path, side: str) -> list[Scores]:
    file = folder / f"{side}.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def compare(folder: Path) -> dict[str, Any]:
    """Return both accuracies per metric, the items that differ, and the largest difference of a log-likelihood."""
    ours, theirs = (_answers(folder, side) for side in SIDES)
    both = list(zip(ours, theirs, strict=False))
    if not both:
        return {"items": 0}
    result: dict[str, Any] = {"items": len(both)}
    for metric in METRICS:
        result[metric] = {
            "curate": sum(one[metric] for one, _ in both) / len(both),
            "lm-eval": sum(other[metric] for _, other in both) / len(both),
            "differ": [number for number, (one, other) in enumerate(both) if one[metric] != other[metric]],
        }
    result["largest_difference"] = max(abs(one["log_likelihood"] - other["log_likelihood"]) for one, other in both)
    result["cpu_seconds"] = {
        side: sum(row["seconds"] for row in rows) for side, rows in zip(SIDES, (ours, theirs), strict=True)
    }
    return result


def main() -> None:
    """Ask both sides and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--items", required=True)
    parser.add_argument("--layout", choices=TEXTS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--sides", default=",".join(SIDES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    items = items_of(options.items)
    # A part of the items is a fair sample, and an interrupted run says something.
    random.Random(0).shuffle(items)
    for side in options.sides.split(","):
        run_side(side, items[: options.limit], options)
    print(json.dumps(compare(options.out), indent=2))


if __name__ == "__main__":
    main()
