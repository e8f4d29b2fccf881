"""Arms, recipes, seeds and sizes of the trial: which cells there are, in the order of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BASELINE = "uniform"
RECIPES: dict[str, dict[str, Any]] = {
    "ce": {},
    "kl": {"teacher_weight": 1.0},
    "half": {"teacher_weight": 0.5},
    "kl-tokens": {"teacher_weight": 1.0, "token_share": 0.4},
    "ce-rate": {"learning_rate": 2e-3},
    "kl-rate": {"teacher_weight": 1.0, "learning_rate": 2e-3},
    "kl-scaled": {"teacher_weight": 1.0, "learning_rate": 1.3e-3},
    "kl-published": {"teacher_weight": 1.0, "learning_rate": 1e-4},
    "kl-before": {"teacher_weight": 1.0, "learning_rate": 1e-4, "batch": 64},
    "ce-full": {"method": "full", "learning_rate": 3e-4},
    "kl-full-prompts": {"method": "full", "teacher_weight": 1.0, "learning_rate": 3e-4, "prompts": True},
    "ce-prompts": {"prompts": True},
    "kl-full": {"method": "full", "teacher_weight": 1.0, "learning_rate": 3e-4},
    "kl-full-published": {"method": "full", "teacher_weight": 1.0, "learning_rate": 2e-5},
    "kl-full-scaled": {"method": "full", "teacher_weight": 1.0, "learning_rate": 1.3e-4},
}
"""Training settings that differ from `cells.TRAINING`: the loss, the tokens, the peak rate, all weights or LoRA."""
COMPARED = ("kl", "ce")
"""Recipes that every arm is trained with; the others are for random rows only."""
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
    trained: tuple[tuple[str, str], ...]
    """Arms and recipes, in the order of a run."""
    pool: float = 1.0
    """Share of the pool; scoring is most of what a small run costs."""
    fresh: int = 0
    """Held-out rows of each source that the screening has not seen, with items that it has not; 0 for its own."""
    device: str = "cpu"


SCREENED = tuple((arm, recipe) for recipe in RECIPES for arm in ARMS if recipe in COMPARED or arm == BASELINE)
"""Every arm with the two plain recipes, random rows with all."""
CONFIRMED = (
    ("uniform", "ce"), ("uniform", "kl-full"), ("coverage-source", "kl-full"), ("per-source", "kl-full"),
    ("paser", "kl-full"), ("uniform", "ce-rate"), ("uniform", "kl-rate"),
    ("uniform", "kl-full-prompts"), ("uniform", "ce-prompts"),
)  # fmt: skip
"""What PREREGISTRATION.md names: today's recipe, the primary arm, and what its gain is made of."""
REPEATED = {
    "wanda-clean": (("uniform", "ce"), ("uniform", "kl-full"), ("paser", "kl-full")),
    "width-clean": (("uniform", "ce"), ("uniform", "kl-full"), ("paser", "kl-full")),
    "blocks-noisy": (("uniform", "ce"), ("uniform", "kl-full"), ("paser-filter", "ce"), ("paser-filter", "kl-full")),
}
"""What the confirmation repeats on another pair or pool."""
SIZES = {
    "screening": Size(8_000, 2, (0, 1), 90, SCREENED, pool=0.375),
    "confirmation": Size(8_000, 2, tuple(range(10, 16)), 90, CONFIRMED, pool=0.375, fresh=40),
    "gpu": Size(128_000, 2, tuple(range(20, 28)), None, (*CONFIRMED, *SCREENED), fresh=100, device="cuda"),
}


@dataclass(frozen=True)
class Cell:
    """One model that is trained and measured."""

    pair: str
    pool: str
    arm: str
    recipe: str
    seed: int

    @property
    def file(self) -> str:
        """Name of the file of its results, below the folder of the size."""
        return f"{self.pair}-{self.pool}/{self.arm}-{self.recipe}-{self.seed}.parquet"


def cells(size: Size, pair: str, pool: str) -> list[Cell]:
    """Return the cells of a run: whole seeds first, so that a run that is stopped can be read."""
    trained = REPEATED.get(f"{pair}-{pool}", size.trained) if size.trained is CONFIRMED else size.trained
    return [Cell(pair, pool, arm, recipe, seed) for seed in size.seeds for arm, recipe in dict.fromkeys(trained)]
