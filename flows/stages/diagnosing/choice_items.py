"""The items of a diagnosis on multiple-choice tasks, and their division into two halves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from curate.flows.stages.evaluating.tasks import DEMO, evaluation_items
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

    Item = dict[str, Any]


def check_tasks(settings: Settings) -> None:
    """Raise UsageError unless every task is a multiple-choice file and there is one."""
    from curate.storage.inputs.task_files import parse_task

    if not settings.evaluate.tasks:
        raise UsageError("there is nothing to answer; pass --tasks choice:FILE with multiple-choice questions")
    for word in settings.evaluate.tasks:
        kind = DEMO if word == DEMO else parse_task(word).kind
        if kind != "choice":
            raise UsageError(f"--tasks {word!r} is of kind {kind}; this diagnosis reads choice:FILE only")


def choice_items(warehouse: Warehouse, settings: Settings) -> list[Item]:
    """Return the items of all tasks, in their order.

    Raises
    ------
    InputError
        If a row of a task cannot be used.
    """
    items: list[Item] = evaluation_items(warehouse, settings, None)[0].to_pylist()
    return items


def halves(items: list[Item], held_out: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Return the items to choose on and those held out, drawn at random by the seed; both in their order.

    Raises
    ------
    UsageError
        If one of the two would be empty.
    """
    n_held = round(held_out * len(items))
    if not 0 < n_held < len(items):
        raise UsageError(f"{len(items)} items cannot be divided into two parts; give more, or raise --limit")
    held = np.zeros(len(items), bool)
    held[np.random.default_rng(seed).permutation(len(items))[:n_held]] = True
    return [items[i] for i in np.flatnonzero(~held)], [items[i] for i in np.flatnonzero(held)]
