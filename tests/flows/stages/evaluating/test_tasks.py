"""The version of an evaluation changes with the kinds whose results changed, and with no other."""

from __future__ import annotations

import json
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

from curate.flows.stages.evaluating.tasks import DEMO, options_setting, version_of
from curate.schemas.evaluation import KINDS, REVISIONS, results_version
from curate.schemas.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kinds", "version"),
    [([""], 1), (["judged:"], 1), (["knowledge:"], 2), (["", "reasoning:"], 2), (["knowledge:", "open-book:"], 3)],
)
def test_only_regraded_kinds_have_a_new_version(tmp_path: Path, kinds: list[str], version: int) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_text(json.dumps({"question": "q", "context": "c", "answer": "a"}) + "\n")
    tasks = tuple(f"{kind}{file}" for kind in kinds)
    settings = Settings(evaluate={"tasks": tasks, "judge": "m"})
    assert version_of(settings) == version
    assert (
        version_of(
            settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"tasks": (*tasks, DEMO)})})
        )
        == version
    )


def test_how_options_are_compared_is_part_of_the_id_where_there_are_options(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(json.dumps({"question": "q", "choices": ["a", "b"], "answer": 1}) + "\n")

    def setting(kind: str, **how: str) -> dict[str, str]:
        return options_setting(Settings(evaluate={"tasks": (f"{kind}:{file}",), **how}))

    assert setting("choice") == setting("choice", option_layout="conversation", normalise="none") == {}
    assert setting("choice", normalise="bytes") == {"normalise": "bytes"}
    assert setting("choice", option_layout="cloze") == {"option_layout": "cloze"}
    assert setting("continuation", option_layout="cloze", normalise="bytes") == {"normalise": "bytes"}
    assert setting("knowledge", option_layout="cloze", normalise="bytes") == {}


def test_a_change_of_any_kind_changes_every_version_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for some in combinations(KINDS, 2):
        for changed in some:
            before = results_version(some)
            with monkeypatch.context() as context:
                context.setitem(REVISIONS, changed, REVISIONS.get(changed, 0) + 1)
                assert results_version(some) == before + 1
