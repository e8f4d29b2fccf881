"""A selection request: resolved once, complete, refused early."""

from __future__ import annotations

import pytest

from curate.flows.stages.selecting.request import resolve_request
from curate.schemas.errors import CurateError, InputError, UsageError
from curate.schemas.settings import Settings, resolve

PAIR = {"corpus": ("rows.jsonl",), "original": "a", "compressed": "b"}


def settings(method: str = "paser", **rest: object) -> Settings:
    select: dict[str, object] = {"method": method}
    select |= {name: rest.pop(name) for name in ("options", "budget", "near_duplicates") if name in rest}
    return resolve({**PAIR, "select": select, **rest})


@pytest.mark.parametrize(
    ("method", "budget", "nouns"),
    [
        ("paser", "0.1", {"corpus", "embeddings", "clusters", "scores"}),
        ("donod", "0.1", {"corpus", "scores"}),
        ("uniform", "0.1", {"corpus"}),
        ("uniform", "1k-tokens", {"corpus", "tokens"}),
        ("k-center", "0.1", {"corpus", "embeddings"}),
    ],
)
def test_the_artefacts_that_a_method_needs(method: str, budget: str, nouns: set[str]) -> None:
    assert resolve_request(settings(method, budget=budget)).nouns == nouns


def test_semantic_screening_needs_clusters_and_embeddings() -> None:
    request = resolve_request(settings("uniform", near_duplicates=("semantic",)))
    assert request.nouns == {"corpus", "embeddings", "clusters"}


def test_pilots_are_needed_by_one_allocation() -> None:
    assert "pilots" in resolve_request(settings(options={"allocation": "recoverability"})).nouns


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (settings("donod", options={"bandwidth": 1}), UsageError, "--bandwidth does not apply to method 'donod'"),
        (settings("uniform", options={"gamma": 1}), UsageError, "it has none; it is an option of --method paser and"),
        (settings("passer"), UsageError, "did you mean 'paser'"),
        (settings(budget="1.5"), UsageError, "1.5"),
        (settings(compressed=None, original=None), InputError, "pass --compressed FOLDER"),
        (settings(original=None), UsageError, "compares two models"),
        (settings(original=None, options={"allocation": "recoverability"}), UsageError, "--original FOLDER"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(given: Settings, error: type[CurateError], words: str) -> None:
    with pytest.raises(error, match=words):
        resolve_request(given)


def test_options_and_settings_change_without_changing_the_request() -> None:
    request = resolve_request(settings())
    other = request.with_option("rank", "random").with_settings(settings(seed=3))
    assert (other.options.rank, other.settings.seed, other.method) == ("random", 3, "paser")
    assert request.options.rank == "ies"
