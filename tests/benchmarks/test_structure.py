"""The structure report finds circles, upward imports, long interfaces and repeated names that were planted."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from benchmark_scripts import load_script
from documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def structure() -> Any:
    """Return the module `benchmarks/structure.py`."""
    return load_script("structure")


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Return a function that writes a checkout of the given files."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


CIRCLES = {
    "at the top": ("from curate.storage.b.two import y", "import curate.storage.a.one"),
    "in a function": ("from curate.storage.b import two", "def f():\n    from curate.storage.a.one import x"),
    "for types": (
        "from curate.storage.b.two import y",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from curate.storage.a.one import x",
    ),
    "relative": ("from ..b.two import y", "from ..a import one"),
}


@pytest.mark.parametrize("kind", CIRCLES)
def test_a_planted_circle_is_reported(structure: Any, plant: Callable[..., Path], kind: str) -> None:
    first, second = CIRCLES[kind]
    result = structure.measure(
        plant({"storage/a/one.py": f"{first}\nx = 1\n", "storage/b/two.py": f"{second}\ny = 1\n"})
    )
    assert result["file_circles"] == [["storage.a.one", "storage.b.two"]]
    assert result["folder_circles"] == [["storage.a", "storage.b"]]
    assert result["without_place"] == ["storage.a", "storage.b"]


def test_a_circle_through_an_init_is_reported(structure: Any, plant: Callable[..., Path]) -> None:
    files = {
        "engines/score/__init__.py": "from curate.engines.score.scorer import score\n",
        "engines/score/scorer.py": "from curate.engines.score import kernels, score\n",
        "engines/score/kernels.py": "",
    }
    result = structure.measure(plant(files))
    assert result["file_circles"] == [["engines.score", "engines.score.scorer"]]
    assert result["folder_circles"] == []


def test_a_planted_upward_import_is_reported(structure: Any, plant: Callable[..., Path]) -> None:
    files = {
        "engines/models/loading.py": "def load():\n    from curate.engines.recover.run import recover\n",
        "engines/recover/run.py": "",
        "storage/warehouse/atomic.py": "import os\nimport curate.engines.recover.run\n",
    }
    result = structure.measure(plant(files))
    assert result["upward_imports"] == ["engines.models.loading imports engines.recover.run"]
    assert result["file_circles"] == result["folder_circles"] == result["without_place"] == []


def test_planted_names_parameters_and_comments_are_counted(structure: Any, plant: Callable[..., Path]) -> None:
    text = (
        "class Plan:\n"
        '    """A docstring # is no comment."""\n'
        "    def narrow(self, a, b, c, d, e, f, g, *h): ...\n"
        "    def wide(self, a, b, c, d, e, f, g, *h, i): ...  # noqa: E704\n"
        "# Why this is so.\n"
        "was_told = {'asked': FileNotFoundError}  # and why that\n"
    )
    files = {"flows/one.py": text, "flows/stages/two.py": "class Plan: ...\n", "schemas/three.py": "class Part: ...\n"}
    result = structure.measure(plant(files))
    assert result["root_files"] == {"engines": 0, "selectors": 0, "storage": 0, "flows": 1, "schemas": 1}
    assert result["too_many_parameters"] == {"flows/one.py:4 wide": 9}
    assert result["repeated_class_names"] == {"Plan": ["flows/one.py:1", "flows/stages/two.py:1"]}
    assert {word: places for word, places in result["dialect"].items() if places} == {
        "told": ["flows/one.py:6 was_told"]
    }
    assert result["comments_per_100_lines"] == pytest.approx(
        {"engines": 0, "selectors": 0, "storage": 0, "flows": 40, "schemas": 0, "all": 100 / 3}, abs=0.01
    )


def test_the_structure_of_two_checkouts_is_printed_side_by_side(plant: Callable[..., Path]) -> None:
    other = plant({"flows/one.py": "def f(): ...\n"})
    command = [sys.executable, str(ROOT / "benchmarks" / "structure.py"), f"before={other}", str(ROOT), "--markdown"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[0] == f"|  | before | {ROOT} |"
    assert "| longest parameter list | 0: `f` in flows/one.py | " in "\n".join(lines)
    assert all(line.count(" | ") == 2 for line in lines)
