"""Mutated settings and model folders: they work, or one sentence with an exit code says what is wrong."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from models import save_llama

from curate.engines.models.loading import load_pair
from curate.schemas.errors import CurateError, UsageError
from curate.schemas.sections import RunSettings
from curate.schemas.settings import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

pytestmark = pytest.mark.slow
FULL = os.environ.get("CURATE_RELIABILITY") == "full"
SETTINGS, FOLDERS = (250, 250) if FULL else (100, 12)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1.5, float("inf"), float("nan"), -0.0, "", "x", "\0", "\ud800", "1e999", "{", "[]", [],
    [[]], {}, {"a": 1}, {"": {}}, "9" * 5000, ["a", 1], "../..", "0x10", "１２",
)  # fmt: skip


def test_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    outcomes: Counter[str] = Counter()
    for _ in range(SETTINGS):
        path, value = _path(draw), draw.choice(VALUES)
        place = draw.choice(("flags", "environment", "toml"))
        flags: dict[str, Any] = {}
        with monkeypatch.context() as patch:
            if place == "flags":
                flags = _nested(path, value)
            elif place == "environment":
                text = value if isinstance(value, str) else json.dumps(value)
                patch.setenv(
                    "CURATE_" + "__".join(path).upper(), text.replace("\0", "").encode("utf-8", "replace").decode()
                )
            else:
                content = f"{'.'.join(path)} = {json.dumps(value)}\n".encode("utf-8", "replace")
                if draw.random() < 0.5:
                    spot = draw.randrange(len(content))
                    content = content[:spot] + bytes([draw.randrange(256)]) + content[spot + 1 :]
                (tmp_path / "curate.toml").write_bytes(content)
            try:
                resolve(flags)
                outcomes["accepted"] += 1
            except UsageError as error:
                outcomes["several lines" if "\n" in str(error) else "one sentence"] += 1
        (tmp_path / "curate.toml").unlink(missing_ok=True)
    print(dict(outcomes))
    assert set(outcomes) == {"accepted", "one sentence"}


def _path(draw: random.Random, section: type[BaseModel] = RunSettings) -> tuple[str, ...]:
    name = draw.choice(sorted(section.model_fields))
    kind = section.model_fields[name].annotation
    if isinstance(kind, type) and hasattr(kind, "model_fields") and draw.random() < 0.9:
        return (name, *_path(draw, kind))
    return (name,)


def _nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    return {path[0]: _nested(path[1:], value) if path[1:] else value}


def test_model_folders(tmp_path: Path) -> None:
    base = save_llama(tmp_path / "base")
    draw = random.Random(0)
    outcomes: Counter[str] = Counter()
    for _ in range(FOLDERS):
        folder = tmp_path / "case"
        shutil.copytree(base, folder)
        path = draw.choice(sorted(one for one in folder.iterdir() if one.is_file()))
        path.write_bytes(_mutated(path.read_bytes(), draw))
        try:
            load_pair(None, str(folder), device="cpu")
            outcomes["accepted"] += 1
        except CurateError as error:
            outcomes["one sentence" if str(error) else "no sentence"] += 1
        shutil.rmtree(folder)
    print(dict(outcomes))
    assert set(outcomes) == {"accepted", "one sentence"}


def _mutated(content: bytes, draw: random.Random) -> bytes:
    """Return content cut off, with a flipped bit, or with another value somewhere in its JSON."""
    kind = draw.randrange(4)
    if kind == 0:
        return content[: draw.randrange(len(content))]
    if kind == 1:
        spot = draw.randrange(len(content))
        return content[:spot] + bytes([content[spot] ^ 1 << draw.randrange(8)]) + content[spot + 1 :]
    try:
        value = json.loads(content)
    except ValueError:
        return content[:8] + bytes(draw.randrange(256) for _ in range(64)) + content[72:]
    strange: object = draw.choice([None, [], {}, "x", -1, 10**9, 1.5, [[[]]], True])
    if kind == 2 or not isinstance(value, dict) or not value:
        return json.dumps(strange).encode()
    value[draw.choice(sorted(value))] = strange
    return json.dumps(value).encode()
