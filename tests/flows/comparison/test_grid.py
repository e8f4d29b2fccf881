"""The words of a comparison become methods with typed options, and cells in an order that can be stopped."""

from __future__ import annotations

from typing import Any

import pytest

from curate.flows.comparison.grid import OWN_EPOCHS, arms, cells, method_of
from curate.flows.comparison.recipes import recipe_of
from curate.schemas.errors import UsageError
from curate.schemas.settings import Settings


def settings(**compare: Any) -> Settings:
    return Settings(compare=compare)


@pytest.mark.parametrize(
    ("word", "name", "options"),
    [
        ("paser", "paser", {}),
        ("paser:rank=random:fill=false", "paser", {"rank": "random", "fill": False}),
        ("paser:filter=don:filter-share=0.2", "paser", {"filter": "don", "filter_share": 0.2}),
        ("donod:don_direction=literal", "donod", {"don_direction": "literal"}),
    ],
)
def test_a_word_names_a_method_and_its_options(word: str, name: str, options: dict[str, Any]) -> None:
    assert method_of(word) == (name, options)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pasr", "did you mean 'paser'"),
        ("paser:rnk=random", "did you mean 'rank'"),
        ("paser:rank", "is no option|did you mean"),
        ("paser:rank=best", "--rank 'best' is unknown"),
        ("paser:fill=maybe", "neither true nor false"),
        ("anchored:anchor_share=lots", "not a number"),
        ("uniform:x=1", "it has none"),
    ],
)
def test_a_word_that_means_nothing_is_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        method_of(word)


def test_the_controls_are_always_there() -> None:
    assert arms(settings(methods=("donod",))) == ("donod", "length-matched", "uniform", "full")
    assert arms(settings(methods=("uniform", "paser"))) == ("uniform", "paser", "length-matched", "full")
    assert arms(settings(methods=("donod",), own_epochs=True))[-1] == OWN_EPOCHS


def test_a_grid_that_is_stopped_early_has_whole_seeds() -> None:
    found = cells(settings(methods=("donod",), budgets=("0.1", "0.2"), seeds=2, own_epochs=True))
    assert [cell.seed for cell in found] == [0] * 9 + [1] * 9
    assert sum(cell.arm == OWN_EPOCHS for cell in found) == 2  # what it costs does not depend on the budget
    assert len(set(found)) == len(found)
    with pytest.raises(UsageError, match="not a number"):
        cells(settings(budgets=("lots",)))


def test_recipes_are_a_factor_of_the_grid() -> None:
    found = cells(settings(methods=("donod",), seeds=2, recipes=("ce", "kl"), own_epochs=True))
    assert len(found) == len(set(found)) == 2 * 5 * 2
    assert [cell.name for cell in found[:2]] == ["donod, 0.1, ce, seed 0", "donod, 0.1, kl, seed 0"]
    # Without recipes cells are called as they always were.
    assert cells(settings(methods=("donod",)))[0].name == "donod, 0.1, seed 0"


@pytest.mark.parametrize(
    ("word", "changes"),
    [
        ("", {}),
        ("ce", {"teacher": "none"}),
        ("kl", {"teacher": None}),
        ("kl=0.5", {"teacher": None, "teacher_weight": 0.5}),
    ],
)
def test_a_recipe_names_a_loss(word: str, changes: dict[str, Any]) -> None:
    assert recipe_of(word) == changes


@pytest.mark.parametrize("word", ["kd", "kl=", "kl=0", "kl=2", "kl=nan", "kl=half", "ce=1", "KL"])
def test_a_recipe_that_means_nothing_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="recipe"):
        recipe_of(word)


def test_a_recipe_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="names one twice"):
        cells(settings(recipes=("kl", "kl")))
