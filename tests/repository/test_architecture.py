"""The rules of the house that no type checker knows: folders, names, what may be imported, what every option fills."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import fields

import pytest
from documents import ROOT

from curate.flows.cli.options import GROUPS, Option
from curate.schemas.settings import Settings
from curate.selectors.registry import SELECTORS

ROOMS = ("flows", "selectors", "engines", "storage", "schemas")


def test_selectors_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "selectors" / "__init__.py").exists()
    done = subprocess.run(
        [sys.executable, "-c", "import asyncio, subprocess, selectors; print(selectors.__file__)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(ROOT) not in done.stdout


def test_packages_are_the_folders() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {
        "curate." + ".".join(path.parent.relative_to(ROOT).parts)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert set(project["tool"]["setuptools"]["packages"]) == folders


def test_every_package_folder_but_the_root_of_selectors_is_a_package() -> None:
    for room in ROOMS:
        for folder in {path.parent for path in (ROOT / room).rglob("*.py")}:
            assert (folder / "__init__.py").exists() == (folder != ROOT / "selectors"), folder
        assert (ROOT / room / "py.typed").exists()


def test_every_setting_of_every_method_has_an_option() -> None:
    options = {option.path.rpartition(".")[2] for option in GROUPS["method"]}
    settings = {item.name for entry in SELECTORS.values() for item in fields(entry.settings)}
    assert options == settings


@pytest.mark.parametrize("option", [option for group in GROUPS.values() for option in group], ids=lambda one: one.path)
def test_every_option_fills_a_setting(option: Option) -> None:
    section: type = Settings
    for step in option.path.split(".")[:-1]:
        if step == "options":
            return
        section = section.model_fields[step].annotation  # type: ignore[attr-defined]
    assert option.path.rpartition(".")[2] in section.model_fields  # type: ignore[attr-defined]


def test_help_is_quick_because_it_imports_nothing_large() -> None:
    code = (
        "import sys\n"
        "from curate.flows.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'polars', 'duckdb', 'prefect', 'pyarrow', 'pydantic', 'sklearn', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().endswith("[]")
