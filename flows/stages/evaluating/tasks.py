"""The tasks of an evaluation: their digest, the version of their results, and their items without contaminated ones."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.schemas.artefacts import digest
from curate.schemas.errors import InputError, UsageError
from curate.schemas.evaluation import FORCED, ITEMS, results_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from curate.schemas.evaluation import Kind
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

DEMO = "demo"
"""Name of the task of the demo's held-out rows."""


def tasks_digest(warehouse: Warehouse, settings: Settings) -> str:
    """Return the digest of every task's kind, name and content."""
    from curate.engines.evaluate.harness import harness_files
    from curate.flows import demo
    from curate.storage.formats import source_digest
    from curate.storage.inputs.task_files import parse_task

    parts: list[object] = []
    for word in settings.evaluate.tasks:
        if word == DEMO:
            files = (demo.heldout_path(), demo.heldout_truth_path())
            parts.append([DEMO, [warehouse.digests.file(path) for path in files]])
            continue
        task = parse_task(word)
        if task.kind == "lm-eval":
            parts.append([task.kind, task.path, [warehouse.digests.file(path) for path in harness_files(task.path)]])
        else:
            parts.append([task.kind, task.name, source_digest(task.path, warehouse.digests.file)])
    return digest(parts)


def version_of(settings: Settings) -> int:
    """Return the version of the results of all tasks; an evaluation whose results never changed keeps its id."""
    return results_version(_kinds(settings))


def evaluated_files(settings: Settings, model: str) -> list[Path]:
    """Return the files of a model that decide its results; its generation settings only if it generates answers."""
    from curate.engines.models.checkpoints import generation_files, model_files

    return model_files(model) if _kinds(settings) <= set(FORCED) else generation_files(model)


def options_setting(settings: Settings) -> dict[str, Any]:
    """Return how options are laid out and compared, as settings of a recipe; empty for the defaults of 0.1.0."""
    chosen = {"option_layout": settings.evaluate.option_layout, "normalise": settings.evaluate.normalise}
    usual = {"option_layout": "conversation", "normalise": "none"}
    kinds = _kinds(settings)
    used = {"option_layout": "choice" in kinds, "normalise": bool(kinds & {"choice", "continuation"})}
    return {name: value for name, value in chosen.items() if value != usual[name] and used[name]}


def _kinds(settings: Settings) -> set[Kind]:
    from curate.storage.inputs.task_files import parse_task

    return {"rows" if word == DEMO else parse_task(word).kind for word in settings.evaluate.tasks}


def harness_tasks(settings: Settings) -> list[str]:
    """Return the files and names of the tasks that lm-eval runs."""
    from curate.storage.inputs.task_files import parse_task

    files = [parse_task(word) for word in settings.evaluate.tasks if word != DEMO]
    return [file.path for file in files if file.kind == "lm-eval"]


def evaluation_items(warehouse: Warehouse, settings: Settings, corpus: str | None) -> tuple[pa.Table, int]:
    """Return all items of the tasks, and the number of items left out because the corpus contains their prompt.

    Raises
    ------
    UsageError
        If there is no task, or two of the same name.
    InputError
        If a row of a task cannot be used, or the corpus contains them all.
    """
    if not settings.evaluate.tasks:
        raise UsageError("there is nothing to evaluate on; pass --tasks FILE, for example held-out rows as JSON lines")
    items = list(_items(settings))
    removed = 0
    if corpus and settings.evaluate.decontaminate:
        known = corpus_prompts(warehouse, corpus)
        kept = [item for item in items if prompt_of(item["messages"]) not in known]
        removed, items = len(items) - len(kept), kept
    if removed and not items and not harness_tasks(settings):
        raise InputError(
            f"all {removed} items of the tasks are in the corpus; give rows that are not, or --no-decontaminate to "
            "measure on what may have been trained on"
        )
    return pa.Table.from_pylist(items, schema=ITEMS).combine_chunks(), removed


def _items(settings: Settings) -> Iterator[dict[str, Any]]:
    from curate.flows.demo.evaluation_items import heldout_items
    from curate.storage.inputs.task_files import parse_task, read_items

    names: set[str] = set()
    for word in settings.evaluate.tasks:
        name, rows = DEMO, islice(heldout_items(), settings.evaluate.limit)
        if word != DEMO:
            task = parse_task(word)
            if task.kind == "lm-eval":
                continue
            name, rows = task.name, read_items(task, settings.evaluate.limit)  # type: ignore[assignment]
        if name in names:
            raise UsageError(f"two tasks are called {name!r}; rename one of the files")
        names.add(name)
        yield from rows


def corpus_prompts(warehouse: Warehouse, corpus: str) -> set[str]:
    """Return the prompts of a corpus, normalised as `prompt_of` normalises those of items."""
    return {normalised(text) for text in warehouse.read("corpus", corpus, columns=["prompt"])["prompt"].to_pylist()}


def prompt_of(messages: list[dict[str, Any]]) -> str:
    """Return the normalised prompt of an item: its user turns; empty for a plain text."""
    return normalised("\n\n".join(turn["content"] for turn in messages if turn["role"] == "user"))


def normalised(text: str) -> str:
    """Return a text normalised for comparing prompts: case folded, white space as single spaces."""
    return " ".join(text.casefold().split())
