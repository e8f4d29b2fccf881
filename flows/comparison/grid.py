"""The cells of a comparison: which method, with which options, at which budget, with which loss and seed. Pure words.

``paser:rank=random`` is method paser with its option ``rank`` set; the word is also the arm's name in every table.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from curate.flows.comparison.recipes import recipes
from curate.schemas.budget import parse_budget
from curate.schemas.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from curate.schemas.settings import Settings

BASELINE = "uniform"
MATCHED = "length-matched"
FULL = "full"
OWN_EPOCHS = "full, own epochs"
"""The arm that trains on everything for as many passes as the others make over their budget."""


@dataclass(frozen=True)
class Cell:
    """One model that is trained and evaluated."""

    arm: str
    """The method as it was written, or `OWN_EPOCHS`."""
    budget: str
    seed: int
    recipe: str = ""
    """The loss as it was written, empty where all cells have that of ``recover``."""

    @property
    def name(self) -> str:
        """What progress and the report call it."""
        recipe = f"{self.recipe}, " if self.recipe else ""
        return f"{self.arm}, {self.budget}, {recipe}seed {self.seed}"


def arms(settings: Settings) -> tuple[str, ...]:
    """Return the arms in the order of the report: the methods, then those that are always compared with.

    Raises
    ------
    UsageError
        If a method or an option of it is unknown.
    """
    methods = settings.compare.methods
    for word in methods:
        method_of(word)
    always = (MATCHED, BASELINE, FULL)
    own = (OWN_EPOCHS,) if settings.compare.own_epochs else ()
    return (*methods, *(word for word in always if word not in methods), *own)


def cells(settings: Settings) -> list[Cell]:
    """Return all cells, seeds outermost: a grid that is stopped early has whole seeds.

    Raises
    ------
    UsageError
        If a method, an option, a budget or a recipe cannot mean anything.
    """
    for budget in settings.compare.budgets:
        parse_budget(budget)
    everything = arms(settings)
    budgets = settings.compare.budgets
    losses = recipes(settings)
    return [
        Cell(arm, budget, seed, recipe)
        for seed in range(settings.compare.seeds)
        for budget in budgets
        for arm in everything
        for recipe in losses
        # What it costs does not depend on a budget.
        if arm != OWN_EPOCHS or budget == budgets[0]
    ]


def method_of(word: str) -> tuple[str, dict[str, Any]]:
    """Return the method and the options that ``method:option=value`` names.

    Raises
    ------
    UsageError
        If the method or an option is unknown, or a value is not of the option's kind.
    """
    from curate.selectors.registry import selector

    name, *given = word.split(":")
    defaults = selector(name).settings()
    known = [field.name for field in fields(defaults)]
    options: dict[str, Any] = {}
    for pair in given:
        key, equals, text = pair.partition("=")
        option = key.strip().replace("-", "_")
        if not equals or option not in known:
            hint = did_you_mean(option, known) if known else "; it has none"
            raise UsageError(f"--methods {word!r}: {key!r} is no option of {name}{hint}")
        options[option] = _typed(word, text.strip(), getattr(defaults, option))
    selector(name).settings(**options)
    return name, options


def _typed(word: str, text: str, default: Any) -> Any:
    """Return the text as a value of the default's type."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise UsageError(f"--methods {word!r}: {text!r} is neither true nor false")
        return text == "true"
    if isinstance(default, int | float):
        try:
            return type(default)(text)
        except ValueError:
            raise UsageError(f"--methods {word!r}: {text!r} is not a number") from None
    return text
