"""Arms, losses, seeds and sizes of the trial: which cells there are, in the order of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BASELINE = "uniform"
LOSSES = {"ce": 0.0, "half": 0.5, "kl": 1.0}
"""Weight of the divergence from the original in the loss; the rest is cross-entropy. ``half`` for random rows only."""
ROW_TOKENS = {"uniform": 105, "target": 50}
"""Mean tokens of a row of the pool, and of the tests' own kind; budgets of these arms are in rows, without scores."""
ARMS: dict[str, dict[str, Any]] = {
    "uniform": {"method": "uniform"},
    "per-source": {
        "method": "paser",
        "options": {"rank": "random", "allocation": "uniform", "groups": "source", "consistency": "off"},
    },
    "length-matched": {"method": "length-matched"},
    "paser": {"method": "paser"},
    "paser-filter": {"method": "paser", "options": {"filter": "don", "filter_share": 0.2}},
    "tempered": {"method": "paser", "options": {"allocation": "tempered", "rank": "random", "consistency": "off"}},
    "coverage": {"method": "coverage", "options": {"allocation": "tempered"}},
    "rds": {"method": "rds"},
    "anchored": {"method": "anchored"},
    "donod-literal": {"method": "donod", "options": {"don_direction": "literal"}},
    "paser-source": {"method": "paser", "options": {"allocation": "uniform", "groups": "source", "consistency": "off"}},
    "coverage-source": {"method": "coverage", "options": {"allocation": "uniform", "groups": "source"}},
    "tempered-source": {
        "method": "paser",
        "options": {"rank": "random", "allocation": "tempered", "groups": "source", "consistency": "off"},
    },
    "target": {"method": "uniform"},
}
"""Settings of the selection of each arm. ``donod-literal`` is the control that must lose, ``target``, rows of the
tests' own kind from a pool of their own, the one that must win."""


@dataclass(frozen=True)
class Size:
    """How large a run of the trial is."""

    tokens: int
    """Budget of a selection in tokens of prompt and response."""
    epochs: float
    seeds: tuple[int, ...]
    items: int | None
    """Items of ARC-easy; see `measures.read_tests`."""
    arms: tuple[str, ...]
    losses: tuple[str, ...] = ("kl", "ce", "half")
    pool: float = 1.0
    """Share of the pool; scoring is most of what a small run costs."""
    device: str = "cpu"


SIZES = {
    "screening": Size(8_000, 2, (0, 1), 90, tuple(ARMS), pool=0.375),
    "confirmation": Size(24_000, 2, (10, 11, 12, 13, 14, 15), 900, ("uniform",)),
    "gpu": Size(128_000, 2, tuple(range(20, 28)), None, tuple(ARMS), device="cuda"),
}
"""``confirmation`` has the arms that PREREGISTRATION.md names."""


@dataclass(frozen=True)
class Cell:
    """One model that is trained and measured."""

    pair: str
    pool: str
    arm: str
    loss: str
    seed: int

    @property
    def file(self) -> str:
        """Name of the file of its results, below the folder of the size."""
        return f"{self.pair}-{self.pool}/{self.arm}-{self.loss}-{self.seed}.parquet"


def cells(size: Size, pair: str, pool: str) -> list[Cell]:
    """Return the cells of a run: whole seeds first, so that a run that is stopped can be read."""
    return [
        Cell(pair, pool, arm, loss, seed)
        for seed in size.seeds for loss in size.losses for arm in size.arms
        if loss != "half" or arm == BASELINE
    ]  # fmt: skip
