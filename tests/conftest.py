"""Shared fixtures; puts tests/ on the path so that `references` and `assertions` can be imported."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., "Answer"]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))

# No test is timed: on a busy machine the first example alone can take longer than hypothesis allows.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real corpora and models beside the checkout (never part of the project)."""
    folder = Path(os.environ.get("CURATE_REALDATA", TESTS.parent.parent / "shared"))
    if not (folder / "corpora").is_dir():
        pytest.skip(f"real corpora are not here ({folder}); set CURATE_REALDATA to their folder")
    return folder


class Answer(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)


@pytest.fixture
def curate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return a function that runs the command line in an empty folder and returns its exit code and output."""
    from curate.flows.cli import main

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(int(done.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    from corpora import write_corpus

    return write_corpus(tmp_path / "corpus.jsonl")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of a model and of a second model in the role of its compressed version."""
    from models import save_llama

    folder = tmp_path_factory.mktemp("tiny")
    return save_llama(folder / "original"), save_llama(folder / "compressed", seed=1)
