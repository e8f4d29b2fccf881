"""What a report packs is read back unchanged, and stays within the room that it is given."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import report_rows
import warehouses

from curate.storage.report.contents import read_contents
from curate.storage.report.packing import bytes_of, ids_of, packed, packed_lines, pairs_of, twelve_bits_of
from curate.storage.report.page import LIMIT
from curate.storage.report.rows import POINTS, drawn_rows, packed_rows
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("n", [0, 1, 2, 7, 200])
def test_arrays_are_read_back(n: int) -> None:
    rng = np.random.default_rng(n)
    ids = sorted({f"{random.Random(i).getrandbits(80):020x}" for i in range(n)})
    kept, cluster, places = rng.integers(0, 2, n), rng.integers(0, 65536, n), rng.random((n, 2))
    parts = [ids_of(ids), bytes_of(kept), pairs_of(np.zeros(n, np.int64)), pairs_of(cluster)]
    parts += [twelve_bits_of(places[:, axis]) for axis in (0, 1)]
    known = {"n": n, "digits": 20 if n else 0, "reasons": ["budget"], "clustered": True, "damage": None}
    text = packed(parts)
    assert not set(text) & set("<>&\"'\\")
    rows = report_rows.rows_of({"rows": known | {"layouts": ["map"], "packed": text}, "texts": {"packed": ""}})
    assert [row["id"] for row in rows] == ids
    assert [row["kept"] for row in rows] == kept.tolist()
    assert [row["cluster"] for row in rows] == cluster.tolist()
    assert np.abs(np.array([row["map"] for row in rows]).reshape(n, 2) - places).max(initial=0) <= 0.5 / 4095 + 1e-12


def test_sorted_ids_take_less_than_their_digits() -> None:
    ids = sorted(f"{random.Random(i).getrandbits(80):020x}" for i in range(20_000))
    assert len(packed([ids_of(ids)])) < 20_000 * 8.8 * 1.25


@pytest.mark.parametrize("most", [-5, 0, 60, 1000, 5000, 10**6])
def test_lines_fit_the_room(most: int) -> None:
    lines = [json.dumps([i, str(random.Random(i).getrandbits(200))]) for i in range(300)]
    text, n = packed_lines(iter(lines), most)
    assert len(text) <= max(most, 0)
    assert report_rows.unpacked(text).decode().splitlines() == lines[:n]
    assert n == 300 if most == 10**6 else n < 300
    if most >= 1000:
        assert len(text) > 0.9 * min(most, len(packed([f"{line}\n".encode() for line in lines]))), "room is left"


def test_lone_surrogates_are_replaced() -> None:
    text, n = packed_lines(["\ud800"], 100)
    assert (report_rows.unpacked(text), n) == (b"?\n", 1)


def test_fifty_thousand_rows_leave_a_sixth_of_the_page(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    contents = read_contents(warehouse, warehouses.fill(warehouse)["paser"])
    n, rng = POINTS, np.random.default_rng(0)
    large = dataclasses.replace(
        contents,
        example_id=np.array([f"{random.Random(i).getrandbits(80):020x}" for i in range(n)]),
        kept=rng.random(n) < 0.1,
        reason=rng.choice(["budget", "conflict", "near_duplicate"], n).astype(object),
        forgotten=np.zeros(n, np.bool_),
        cluster=rng.integers(0, 60, n),
        layouts={"map": rng.random((n, 2)), "diffusion": rng.random((n, 2))},
        signals={"cds": rng.gamma(1.2, 0.15, n)},
    )
    rows = packed_rows(large, drawn_rows(large))
    assert (rows["n"], rows["layouts"]) == (n, ["map"])
    assert len(rows["packed"]) < LIMIT * 5 / 6
