"""The table of stages: complete, ordered, and the only place that knows the order."""

from __future__ import annotations

import inspect

import pytest

from curate.flows import stages
from curate.flows.stages.stage import STAGES, Stage, stage_of, stages_before
from curate.schemas.artefacts import NOUNS, Noun


def test_every_noun_is_made_by_a_stage() -> None:
    assert {stage.noun for stage in STAGES} == set(NOUNS)


def test_every_stage_of_the_package_is_in_the_table() -> None:
    assert {getattr(stages, name) for name in stages.__all__} <= {stage.run for stage in STAGES}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.verb)
def test_inputs_are_made_before(stage: Stage) -> None:
    before = [other.noun for other in STAGES[: STAGES.index(stage)]]
    assert set(stage.inputs) <= set(before)


@pytest.mark.parametrize("stage", STAGES[:6], ids=lambda stage: stage.verb)
def test_run_and_recipe_take_what_the_table_says(stage: Stage) -> None:
    arguments = [object()] * (2 + len(stage.inputs))
    for function in (stage.run, stage.recipe):
        inspect.signature(function).bind(*arguments)


@pytest.mark.parametrize(
    ("noun", "verbs"),
    [
        ("corpus", ["ingest"]),
        ("embeddings", ["ingest", "embed"]),
        ("clusters", ["ingest", "embed", "cluster"]),
        ("tokens", ["ingest", "count"]),
        ("scores", ["ingest", "score"]),
        ("selection", ["ingest", "count", "embed", "cluster", "score", "pilot", "select"]),
    ],
)
def test_what_must_run_before(noun: Noun, verbs: list[str]) -> None:
    assert [stage.verb for stage in stages_before(noun)] == verbs


def test_a_function_is_looked_up_in_the_table() -> None:
    assert stage_of(stages.choose).noun == "selection"
    with pytest.raises(StopIteration):
        stage_of(print)
