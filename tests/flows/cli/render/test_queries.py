"""Answers of SQL that JSON, Python, a spreadsheet or a terminal cannot take as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import warehouses

from curate.storage.catalog.publish import publish
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warehouse = Warehouse(tmp_path_factory.mktemp("filled") / "w")
    warehouses.corpus(warehouse)
    publish(warehouse)
    return warehouse.root


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_numbers_that_json_has_no_word_for(curate: Run, root: Path) -> None:
    query = "SELECT 1/0 AS a, -1/0 AS b, 0/0 AS c, [1/0] AS d, {'e': 0/0} AS e"
    answer = curate("sql", query, "-w", root, "--json")
    value = json.loads(answer.out, parse_constant=refuse_constant)
    assert value == [{"a": "Infinity", "b": "-Infinity", "c": "NaN", "d": ["Infinity"], "e": {"e": "NaN"}}]
    printed = curate("sql", query, "-w", root)
    assert printed.code == 0
    assert printed.out.split("\n")[3].split()[:3] == ["inf", "-inf", "nan"]


@pytest.mark.parametrize("time", ["'infinity'::date", "'-infinity'::timestamp", "'290000-01-01'::date"])
def test_times_that_python_has_no_value_for(curate: Run, root: Path, time: str) -> None:
    answer = curate("sql", f"SELECT {time} AS day, 7 AS seven", "-w", root, "--json")
    assert answer.code == 0, answer.err
    assert answer.value[0]["seven"] == 7
    assert isinstance(answer.value[0]["day"], str)
    nested = curate("sql", f"SELECT [{time}] AS days", "-w", root)
    assert nested.code == 2
    assert "cast them in the query, as in days::VARCHAR" in nested.err
