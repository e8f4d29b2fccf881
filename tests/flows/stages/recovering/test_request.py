"""The engine's request: what the original's predictions weigh."""

from __future__ import annotations

from typing import Any

import pytest

from curate.flows.stages.recovering.request import request_of
from curate.schemas.recovery import NAMED_TEACHER_WEIGHT, TEACHER_WEIGHT
from curate.schemas.settings import resolve


@pytest.mark.parametrize(
    ("given", "known", "weight"),
    [
        ({}, True, TEACHER_WEIGHT),
        ({}, False, 0.0),
        ({"teacher": "none"}, True, 0.0),
        ({"teacher": "none", "teacher_weight": 0.3}, True, 0.0),
        ({"teacher_weight": 0.3}, True, 0.3),
        ({"teacher": "original"}, True, NAMED_TEACHER_WEIGHT),
        ({"teacher": "original", "teacher_weight": 0.3}, True, 0.3),
        # Refused later, in a sentence about --original.
        ({"teacher": "original"}, False, NAMED_TEACHER_WEIGHT),
        ({"reconstruct": True, "epochs": 0}, True, 0.0),
    ],
)
def test_a_known_original_is_learnt_from(given: dict[str, Any], known: bool, weight: float) -> None:
    settings = resolve({"recover": given, "original": "dense" if known else None})
    request = request_of(settings)
    assert request.teacher_weight == weight
    assert request.to_json()["teacher_weight"] == weight  # the artefact holds the number
    topped = settings.model_copy(update={"score": settings.score.model_copy(update={"teacher_cache": "topk=4"})})
    assert request_of(topped).teacher_top == (4 if weight else None)
