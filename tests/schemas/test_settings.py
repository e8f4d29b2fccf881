"""Settings that cannot be meant are refused in one sentence, whatever they come from."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from curate.schemas.errors import UsageError
from curate.schemas.sections import RunSettings
from curate.schemas.settings import resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def numbers(
    kind: type, section: type[BaseModel] = RunSettings, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all settings that are a number of this kind."""
    for name, field in section.model_fields.items():
        annotation: Any = field.annotation
        options = get_args(annotation) if get_origin(annotation) is types.UnionType else (annotation,)
        if kind in options:
            yield (*path, name)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from numbers(kind, annotation, (*path, name))


def nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    return {path[0]: nested(path[1:], value) if path[1:] else value}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", numbers(float), ids=".".join)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), "inf", "1e999"])
def test_floats_are_finite(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(UsageError, match=f"setting '{'.'.join(path)}' is "):
        resolve(nested(path, value))


@pytest.mark.parametrize("path", numbers(int), ids=".".join)
@pytest.mark.parametrize("value", [-(10**12), 10**12, 10**30, 1.5])
def test_integers_have_bounds_on_both_sides(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(UsageError, match=f"setting '{'.'.join(path)}' is "):
        resolve(nested(path, value))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("warehouse = 'w'\n".encode("utf-16"), "curate.toml is not UTF-8"),
        ("# größer\n".encode("latin-1"), "curate.toml is not UTF-8"),
        (b"[select\n", "curate.toml is not valid TOML"),
        (b"a = " + b"[" * 100_000, "curate.toml is not valid TOML"),
        (b"select = 3\n", "setting 'select' is 3"),
    ],
)
def test_a_settings_file_that_cannot_be_read(empty_folder: Path, content: bytes, message: str) -> None:
    (empty_folder / "curate.toml").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        resolve({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CURATE_SELECT", "x"),
        ("CURATE_CORPUS", "a,b"),
        ("CURATE_SELECT__OPTIONS", "x"),
        ("CURATE_COMPARE__METHODS", "a,b"),
        ("curate_ingest__map", "{"),
    ],
)
def test_an_environment_that_is_not_json(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name}='{value}' in the environment is not JSON"):
        resolve({})
