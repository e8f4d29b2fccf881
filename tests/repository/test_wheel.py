"""The wheel is complete: installed without the checkout, it runs the demo from any folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that holds the unpacked wheel and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("curate_llm-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def curate(site: Path, folder: Path, *arguments: str) -> Any:
    code = "from curate.flows.cli.main import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_demo_runs_from_the_wheel(site: Path, tmp_path: Path) -> None:
    code = "import curate.flows, curate.selectors.methods.paser as p; print(curate.flows.__file__); print(p.__file__)"
    paths = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert all(path.startswith(str(site)) for path in paths)
    selection = curate(site, tmp_path, "select", "--method", "uniform", "--json")
    assert (selection["n_examples"], selection["n_kept"]) == (7508, 752)
    answers = curate(site, tmp_path, "sql", "--named", "reasons", "--json")
    assert {row["reason"]: row["examples"] for row in answers}["selected"] == 752


def test_it_holds_the_packages_only(site: Path) -> None:
    top = {path.name for path in site.iterdir()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"curate"}
    names = {path.name for path in (site / "curate").iterdir()}
    assert names == {"engines", "flows", "schemas", "selectors", "storage"}
    assert not (site / "curate" / "selectors" / "__init__.py").exists()
    assert not list(site.rglob("__pycache__"))
