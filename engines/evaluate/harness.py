"""Runs tasks of EleutherAI's lm-eval, by name or from local YAML files, on the loaded model in this process.

lm-eval, the extra "eval", is imported only for such a task. A named task reads its dataset from the cache of the
`datasets` library; with ``HF_HUB_OFFLINE`` set nothing is downloaded.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.artefacts import digest
from curate.schemas.corpus import ID_DIGITS
from curate.schemas.errors import InputError, MissingExtraError
from curate.schemas.evaluation import RESULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from curate.engines.evaluate.subject import Subject

LOCAL = (".yaml", ".yml")


def harness_files(task: str) -> list[Path]:
    """Return the files that define a task, for its digest: its YAML and the other files in the same folder.

    A named task has none: its definition comes with the installed lm-eval, whose version the manifest records.

    Raises
    ------
    InputError
        If a YAML file does not exist.
    """
    path = Path(task)
    if path.suffix not in LOCAL:
        return []
    if not path.is_file():
        raise InputError(f"there is no lm-eval task file {task!r}; give a YAML file, or the name of a task")
    return sorted(file for file in path.parent.iterdir() if file.is_file())


def run_harness(subject: Subject, tasks: Sequence[str], limit: int | None = None) -> pa.Table:
    """Return one row of schema `RESULTS` per document of every task; the score is the task's first metric.

    Raises
    ------
    MissingExtraError
        If lm-eval is not installed.
    InputError
        If lm-eval has no such task.
    """
    outcome = simple_evaluate(subject, tasks, limit)
    rows = [
        _row(name, sample, _metric(outcome["configs"][name]))
        for name, samples in outcome["samples"].items()
        for sample in sorted(samples, key=lambda document: document["doc_id"])
    ]
    return pa.Table.from_pylist(rows, schema=RESULTS)


def simple_evaluate(subject: Subject, tasks: Sequence[str], limit: int | None = None) -> dict[str, Any]:
    """Return lm-eval's own report on the loaded model; parameters and errors as in `run_harness`."""
    if find_spec("lm_eval") is None:
        raise MissingExtraError("running lm-eval's tasks", "eval")
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    # lm-eval logs every default that it applies, which only helps someone who runs it by hand.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    folders = sorted({str(Path(task).resolve().parent) for task in tasks if Path(task).suffix in LOCAL})
    manager = TaskManager(include_path=folders or None)
    names = [_task_name(task) for task in tasks]
    for name in names:
        if name not in manager.all_tasks:
            raise InputError(f"lm-eval knows no task {name!r}; `lm-eval ls tasks` lists them, or give a YAML file")
    model = HFLM(pretrained=subject.model, tokenizer=subject.tokenizer, batch_size=16)
    report: dict[str, Any] = lm_eval.simple_evaluate(
        # No bootstrap: confidence intervals come from resampling the rows later.
        model,
        tasks=names,
        limit=limit,
        task_manager=manager,
        log_samples=True,
        bootstrap_iters=0,
    )
    return report


def _task_name(task: str) -> str:
    """Return the name in a task's YAML file, or the name itself for a named task."""
    if Path(task).suffix not in LOCAL:
        return task
    for line in Path(task).read_text(encoding="utf-8").splitlines():
        key, colon, value = line.partition(":")
        if colon and key == "task":
            return value.split("#")[0].strip().strip("\"'")
    raise InputError(f"{task} has no line `task: NAME`; lm-eval needs it")


def _metric(config: dict[str, Any]) -> str:
    return str(config["metric_list"][0]["metric"])


def _row(name: str, sample: dict[str, Any], metric: str) -> dict[str, Any]:
    """Return one document's result; the chance level of multiple choice is one over the number of options."""
    options = len(sample["arguments"]) if metric.startswith("acc") else 0
    score = sample.get(metric)
    task = f"lm-eval:{name}"
    return {
        "item_id": digest([task, sample["doc_hash"]], ID_DIGITS),
        "task": task,
        "kind": "lm-eval",
        "group": task,
        "status": "ok",
        "score": float(score) if isinstance(score, int | float) else None,
        "nll": None,
        "token_accuracy": None,
        "n_tokens": 0,
        "said": None,
        "chance": 1 / options if options > 1 else 0.0,
    }
