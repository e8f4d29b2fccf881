"""Runs scoring, one cell of a comparison and an evaluation with a judge, and prints the model files that each opens.

Started as a process of its own, because an audit hook cannot be removed: ``python opened_files.py FOLDER``. The folder
has the models ``original``, ``compressed``, ``judge`` and ``adapter``, a ``corpus.jsonl`` and a ``facts.jsonl``.
Weights are read by code that raises no audit events, but not before their headers were opened from Python.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.engines.models.weight_files import _read_header
from curate.schemas.recovery import RecoveryRequest
from curate.schemas.settings import Settings
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST = RecoveryRequest(method="full", epochs=1, batch=8, reconstruct=True, teacher_weight=0.5)


def settings_of(folder: Path) -> Settings:
    """Return the settings of all stages."""
    tasks = tuple(f"{kind}:{folder / 'facts.jsonl'}" for kind in ("knowledge", "judged"))
    return Settings(
        corpus=(str(folder / "corpus.jsonl"),),
        original=str(folder / "original"),
        compressed=str(folder / "compressed"),
        select={"method": "uniform", "budget": "4"},
        evaluate={"tasks": tasks, "judge": str(folder / "judge"), "max_new_tokens": 2},
    )


def main(folder: Path) -> None:
    from curate.flows import stages
    from curate.flows.pipeline import run
    from curate.flows.stages.selecting.request import resolve_request

    opened: set[str] = set()

    def record(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            if path.startswith(str(folder) + os.sep) and "warehouse" not in path:
                opened.add(os.path.relpath(path, folder))

    settings, warehouse = settings_of(folder), Warehouse(folder / "warehouse")
    corpus = stages.ingest(warehouse, settings)
    selection = run(warehouse, resolve_request(settings), lambda stage, *inputs: stage(*inputs))
    sys.addaudithook(record)
    result: dict[str, list[str]] = {"selection": [selection], "corpus": [corpus]}
    calls: dict[str, Callable[[], str]] = {
        "score": lambda: stages.score(warehouse, settings, corpus),
        "cell": lambda: stages.trial(warehouse, settings, selection, REQUEST),
        "evaluate": lambda: stages.evaluate(warehouse, settings, str(folder / "adapter"), None, {}),
    }
    for name, stage in calls.items():
        opened.clear()
        _read_header.cache_clear()
        stage()
        result[name] = sorted(file for file in opened if not file.endswith(".jsonl"))
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
