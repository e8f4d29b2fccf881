"""The request for a selection, resolved once: method, options, budget, and the inputs that they need.

Created where a command begins and passed on; no other code reads the method or the budget from the settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curate.flows.stages.selecting.screening import reads
from curate.flows.stages.selecting.vectors import VECTORS
from curate.schemas.budget import Budget, parse_budget
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from curate.schemas.artefacts import Noun
    from curate.schemas.settings import Settings
    from curate.selectors.registry import SelectionMethod

_NOT_SCORED = frozenset({"tokens", "embeddings", "clusters", "concepts", "groups", "reference", "imported", "solved"})
"""What a method may read of a pool without any model having scored it."""


@dataclass(frozen=True)
class SelectionRequest:
    """One selection, resolved: the method, its options, the budget, and the settings of the run."""

    settings: Settings
    selector: SelectionMethod
    options: Any
    """The method's frozen settings."""
    budget: Budget

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.settings.select.method

    @cached_property
    def needs(self) -> frozenset[str]:
        """What the method and the screening read of a pool: signals, ``clusters``, ``embeddings``, …."""
        return self.selector.needs(self.options, self.budget.in_tokens) | reads(self.settings)

    @property
    def nouns(self) -> frozenset[Noun]:
        """The artefacts that the selection is made from, the corpus included."""
        nouns: set[Noun] = {"corpus"}
        if self.needs - _NOT_SCORED:
            nouns.add("scores")
        elif "tokens" in self.needs:
            # Scores hold the counts too; without them the tokenizer alone gives them.
            nouns.add("tokens")
        if self.needs & {"clusters", "concepts"}:
            nouns |= {"clusters", "embeddings"}
        if "embeddings" in self.needs:
            nouns.add("embeddings")
        if "gain_ceiling" in self.needs:
            nouns.add("pilots")
        return frozenset(nouns)

    def with_settings(self, settings: Settings) -> SelectionRequest:
        """Return the request under other settings of the run, its method, options and budget as they were."""
        if self.needs & VECTORS.keys() and not settings.score.sketch:
            # The scores that the method reads are those with sketches, whether they were asked for or not.
            settings = settings.model_copy(update={"score": settings.score.model_copy(update={"sketch": True})})
        return replace(self, settings=settings)

    def with_option(self, name: str, value: Any) -> SelectionRequest:
        """Return the request with one option of the method changed."""
        return replace(self, options=replace(self.options, **{name: value}))


def resolve_request(settings: Settings) -> SelectionRequest:
    """Return the selection that `settings` ask for.

    Raises
    ------
    UsageError
        If the budget, the method or one of its options is not valid, or the method needs two models and one was given.
    InputError
        If the method needs a model or its tokenizer, and a corpus was given without one.
    """
    request = parse_request(settings)
    _check_models(request)
    return request


def parse_request(settings: Settings) -> SelectionRequest:
    """Return the selection request without checking its models, which existing scores make unnecessary.

    Raises
    ------
    UsageError
        If the budget, the method or one of its options is not valid.
    """
    from curate.selectors.registry import selector

    entry, given = selector(settings.select.method), settings.select.options
    known = [item.name for item in fields(entry.settings)]
    for name in given:
        if name not in known:
            raise UsageError(_not_an_option(settings.select.method, name, known))
        if isinstance(given[name], float) and not math.isfinite(given[name]):
            raise UsageError(f"setting 'select.options.{name}' is {given[name]}; give a finite number")
    request = SelectionRequest(settings, entry, entry.settings(**given), parse_budget(settings.select.budget))
    return request.with_settings(settings)


def _not_an_option(method: str, name: str, known: list[str]) -> str:
    from curate.selectors.registry import SELECTORS

    flags = ", ".join("--" + one.replace("_", "-") for one in known)
    its = f"its options are {flags}" if known else "it has none"
    others = [other for other, entry in SELECTORS.items() if name in {item.name for item in fields(entry.settings)}]
    remedy = f"; it is an option of --method {' and '.join(others[:2])}" if others else ""
    return f"--{name.replace('_', '-')} does not apply to method {method!r}; {its}{remedy}"


def _check_models(request: SelectionRequest) -> None:
    settings, nouns = request.settings, request.nouns
    if "scores" in nouns and settings.corpus and settings.compressed is None:
        raise InputError(
            f"method {request.method!r} reads scores, and no model was given; "
            "pass --compressed FOLDER, and --original FOLDER for a pair"
        )
    if "tokens" in nouns and settings.corpus and settings.compressed is None and settings.original is None:
        instead = ", or give the budget in rows" if request.budget.in_tokens else ""
        raise InputError(
            f"method {request.method!r} with budget {request.budget} counts tokens, and no model was given; pass "
            f"--compressed FOLDER, whose tokenizer counts them{instead}"
        )
    if "pilots" in nouns and settings.corpus and None in (settings.original, settings.compressed):
        raise UsageError(
            "--allocation recoverability trains the compressed model on a few rows and measures on those that the "
            "original finds likely; pass --compressed FOLDER and --original FOLDER, or choose another allocation"
        )
    if request.needs & {"cds", "gradients"} and settings.original is None and settings.compressed is not None:
        raise UsageError(
            f"method {request.method!r} compares two models, and only one was given; "
            "pass --original too, or choose --method donod"
        )
