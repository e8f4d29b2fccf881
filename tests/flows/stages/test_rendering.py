"""What is computed through a chat template has an id of its own for every version of the rules."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from chat_templates import CHATML
from corpora import write_corpus

from curate.flows.stages import rendering
from curate.flows.stages.rendering import rendering_setting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def pair(tiny: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Return copies of the tiny pair with a chat template in the original's folder."""
    original, compressed = (shutil.copytree(model, tmp_path / model.name) for model in tiny)
    (original / "chat_template.jinja").write_text(CHATML)
    return original, compressed


def test_the_version_is_a_setting_only_where_a_chat_template_is_used(
    pair: tuple[Path, Path], tiny: tuple[Path, Path]
) -> None:
    used = {"rendering": rendering.RENDERING_VERSION}
    assert rendering_setting("auto", str(pair[1]), None, str(pair[0])) == used
    assert rendering_setting("chat", str(pair[0])) == used
    assert rendering_setting("plain", *map(str, pair)) == {}
    assert rendering_setting("auto", *map(str, tiny)) == {}


@pytest.mark.parametrize(("template", "differs"), [("auto", True), ("plain", False)])
def test_scores_of_other_rules_are_other_scores(
    curate: Run, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, differs: bool
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", rows=12)
    models = ("--original", pair[0], "--compressed", pair[1], "--template", template)
    command = ("plan", "--method", "donod", "--corpus", corpus, "-w", tmp_path / "w", *models, "--json")

    def scores() -> str:
        result = curate(*command)
        assert result.code == 0, result.err
        return str(next(step["artefact"] for step in result.value if step["stage"] == "score"))

    before = scores()
    assert scores() == before
    monkeypatch.setattr(rendering, "RENDERING_VERSION", rendering.RENDERING_VERSION + 1)
    assert (scores() != before) == differs
