"""Reads what share of a model's samples equal the corpus's answers, from targets that ``curate sample`` drew."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from curate.schemas.errors import UsageError
from curate.schemas.targets import SOLVED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curate.schemas.artefacts import Manifest
    from curate.schemas.settings import Settings
    from curate.storage.warehouse.warehouse import Warehouse

DRAWN_BY = ("best_of", "temperature", "max_new_tokens", "seed", "template", "max_length", "prune_at", "prune_keep")
"""Settings in which two models' samples must be alike to be compared; the last two are there if samples are pruned."""


def solved_source(warehouse: Warehouse, settings: Settings, signal: str, corpus: str) -> str:
    """Return the ids of the targets that a signal of `SOLVED` is read from, the original's first, by a comma.

    They are the newest by ``--accept reference`` for this corpus and these models; for ``solved_gap``, of those that
    both models drew of one selection and by the same settings.

    Raises
    ------
    UsageError
        If there are none.
    """
    by_model = [_drawn(warehouse, settings, signal, role, corpus) for role in SOLVED[signal].models]
    for pair in product(*by_model):
        if len({_drawing(one) for one in pair}) == 1:
            return ",".join(one.id for one in pair)
    raise UsageError(
        f"--signal {signal} compares samples of one selection drawn alike, and the targets {by_model[0][0].id} and "
        f"{by_model[1][0].id} differ in selection or settings; run `curate sample` with --from original and --from "
        "compressed on one selection, otherwise the same"
    )


def read_solved(warehouse: Warehouse, source: str, example_id: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return the share of right samples of every example, or the first model's less the second's, NaN where unknown.

    Parameters
    ----------
    source : str
        As `solved_source` returns it.
    """
    shares = []
    for targets in source.split(","):
        of = _shares(warehouse, targets)
        shares.append(np.array([of.get(one, np.nan) for one in example_id.tolist()], dtype=np.float64))
    return shares[0] if len(shares) == 1 else shares[0] - shares[1]


def _shares(warehouse: Warehouse, targets: str) -> dict[str, float]:
    """Return the share of right samples of every row, of those that were compared: one that was pruned is unknown."""
    samples = warehouse.read("targets", targets, columns=["example_id", "passed"])
    means = samples.group_by("example_id").aggregate([("passed", "mean")])
    return dict(zip(means["example_id"].to_pylist(), means["passed_mean"].to_pylist(), strict=True))


def _drawn(warehouse: Warehouse, settings: Settings, signal: str, role: str, corpus: str) -> list[Manifest]:
    """Return the targets that a model of the pair drew for a corpus, newest first."""
    from curate.engines.models.checkpoints import generation_files

    model: str | None = getattr(settings, role)
    if model is None:
        raise UsageError(f"--signal {signal} needs to know the {role} model; pass --{role} FOLDER")
    digest = warehouse.digests.files(generation_files(model))
    mine = [
        one
        for one in warehouse.list("targets")
        if one.inputs["model"] == digest
        and one.settings["accept"] == "reference"
        and warehouse.manifest("selection", one.inputs["selection"]).inputs["corpus"] == corpus
    ]
    if not mine:
        raise UsageError(
            f"--signal {signal} needs samples of the {role} model for this corpus; run `curate sample --from {role}` "
            "on a selection of it, such as that of --method full"
        )
    return mine


def _drawing(targets: Manifest) -> tuple[object, ...]:
    return (targets.inputs["selection"], *(targets.settings.get(name) for name in DRAWN_BY))
