"""Rules that no type checker knows: layout, imports, names, the size of interfaces, what every option fills."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from benchmark_scripts import load_script
from documents import ROOT

from curate.flows.cli.options import GROUPS
from curate.schemas.settings import Settings
from curate.selectors.registry import SELECTORS

if TYPE_CHECKING:
    from curate.flows.cli.option import Option

PACKAGES = ("flows", "selectors", "engines", "storage", "schemas")
MAX_ROOT_FILES = 6
TESTS_OF_SEVERAL_MODULES = {
    "engines/recover/methods/test_quantised_base.py",
    "flows/deployments/test_deploy_page.py",
    "flows/operations/test_evaluate_recovery.py",
    "flows/operations/test_recover_stopped.py",
    "flows/operations/test_sample_resumed.py",
    "flows/operations/test_sample_targets.py",
    "storage/catalog/test_load.py",
    "storage/catalog/test_named_queries.py",
    "storage/catalog/test_publish_failures.py",
    "storage/formats/test_bad_files.py",
    "storage/formats/test_bad_rows.py",
    "storage/formats/test_documented.py",
    "storage/formats/test_fuzz.py",
    "storage/formats/test_memory.py",
    "storage/formats/test_realdata.py",
    "storage/warehouse/test_builder_kills.py",
    "storage/formats/test_roundtrip.py",
}
"""Tests of one behaviour of several modules; every other test has the name and the place of the module it tests."""


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """Return what `benchmarks/structure.py` measures on this checkout."""
    result: dict[str, Any] = load_script("structure").measure(ROOT)
    return result


def test_no_circle_of_imports(measured: dict[str, Any]) -> None:
    assert measured["file_circles"] == []
    assert measured["folder_circles"] == []


def test_no_import_points_upwards(measured: dict[str, Any]) -> None:
    assert measured["without_place"] == [], "name these in ORDER of benchmarks/import_graph.py"
    assert measured["upward_imports"] == []


def test_the_order_names_only_what_exists() -> None:
    for package, names in load_script("import_graph").ORDER.items():
        for name in names.split():
            path = ROOT / package / name
            assert (path / "__init__.py").exists() or path.with_suffix(".py").exists(), path


def test_few_files_at_the_root_of_a_package(measured: dict[str, Any]) -> None:
    # `schemas` is flat on purpose: one file for each table or vocabulary, all of one kind.
    counts = {package: n for package, n in measured["root_files"].items() if package != "schemas"}
    assert {package: n for package, n in counts.items() if n > MAX_ROOT_FILES} == {}


def test_no_long_parameter_list(measured: dict[str, Any]) -> None:
    assert measured["too_many_parameters"] == {}


def test_a_class_name_means_one_thing(measured: dict[str, Any]) -> None:
    assert measured["repeated_class_names"] == {}


def test_identifiers_are_specific(measured: dict[str, Any]) -> None:
    offenders = {word: places for word, places in measured["dialect"].items() if places}
    assert not offenders, "\n".join(place for places in offenders.values() for place in places)


def test_tests_mirror_the_code() -> None:
    unmatched = set()
    for package in PACKAGES:
        for path in (ROOT / "tests" / package).rglob("test_*.py"):
            name = path.relative_to(ROOT / "tests")
            assert (ROOT / name.parent).is_dir(), f"{name} lies in a folder that the code does not have"
            module = ROOT / name.with_name(name.name.removeprefix("test_"))
            if not (module.exists() or module.with_suffix("").is_dir()):
                unmatched.add(name.as_posix())
    assert unmatched == TESTS_OF_SEVERAL_MODULES


def test_selectors_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "selectors" / "__init__.py").exists()
    result = subprocess.run(
        [sys.executable, "-c", "import asyncio, subprocess, selectors; print(selectors.__file__)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(ROOT) not in result.stdout


def test_packages_are_the_folders() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {
        "curate." + ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert set(project["tool"]["setuptools"]["packages"]) == folders


def test_every_package_folder_but_the_root_of_selectors_is_a_package() -> None:
    for package in PACKAGES:
        for folder in {path.parent for path in (ROOT / package).rglob("*.py")}:
            assert (folder / "__init__.py").exists() == (folder != ROOT / "selectors"), folder
        assert (ROOT / package / "py.typed").exists()


def test_every_setting_of_every_method_has_an_option() -> None:
    options = {option.path.rpartition(".")[2] for option in GROUPS["method"]}
    settings = {item.name for entry in SELECTORS.values() for item in fields(entry.settings)}
    assert options == settings


@pytest.mark.parametrize(
    "option", [option for group in GROUPS.values() for option in group], ids=lambda option: option.path
)
def test_every_option_fills_a_setting(option: Option) -> None:
    section: type = Settings
    for step in option.path.split(".")[:-1]:
        if step == "options":
            return
        section = section.model_fields[step].annotation  # type: ignore[attr-defined]
    assert option.path.rpartition(".")[2] in section.model_fields  # type: ignore[attr-defined]


def test_help_imports_nothing_large() -> None:
    # pydantic is not among them: the options are made from the fields of the settings.
    code = (
        "import sys\n"
        "from curate.flows.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'polars', 'duckdb', 'prefect', 'pyarrow', 'sklearn', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip().endswith("[]")
