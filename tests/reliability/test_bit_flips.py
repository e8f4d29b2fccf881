"""A flipped bit in a part is an error when the part is read, by Arrow and by SQL; no reader gives other rows."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import warehouses

from curate.schemas.errors import CurateError
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog, run_sql
from curate.storage.warehouse import integrity
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from curate.schemas.artefacts import Noun

pytestmark = pytest.mark.slow
FULL = os.environ.get("CURATE_RELIABILITY") == "full"
FLIPS = 400 if FULL else 40
VIEWS: dict[Noun, str] = {"corpus": "examples", "selection": "ledger"}


def test_bit_flips(tmp_path: Path) -> None:
    base = Warehouse(tmp_path / "base")
    ids = warehouses.fill(base)
    publish(base)
    draw = random.Random(0)
    outcomes: Counter[str] = Counter()
    for number in range(FLIPS):
        noun: Noun = ("corpus", "selection")[number % 2]
        artefact = ids["corpus"] if noun == "corpus" else ids["paser"]
        warehouse = Warehouse(tmp_path / "case")
        shutil.copytree(base.root, warehouse.root)
        path = draw.choice(sorted(warehouse.folder(noun, artefact).glob("part-*.parquet")))
        facts, content = path.stat(), bytearray(path.read_bytes())
        bit = draw.randrange(len(content) * 8)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        # As in a new process: an earlier case may have had the same inode, time and size.
        integrity._checked.clear()
        for reader in (by_arrow, by_sql):
            outcomes[f"{noun} {reader.__name__} {outcome(reader, base, warehouse, noun, artefact)}"] += 1
        shutil.rmtree(warehouse.root)
    print(dict(outcomes))
    assert set(outcomes) == {f"{noun} {reader} error" for noun in VIEWS for reader in ("by_arrow", "by_sql")}


def outcome(reader: object, base: Warehouse, warehouse: Warehouse, noun: Noun, artefact: str) -> str:
    try:
        rows = reader(warehouse, noun, artefact)  # type: ignore[operator]
    except CurateError:
        return "error"
    return "same rows" if rows.equals(reader(base, noun, artefact)) else "other rows"  # type: ignore[operator]


def by_arrow(warehouse: Warehouse, noun: Noun, artefact: str) -> pa.Table:
    return warehouse.read(noun, artefact)


def by_sql(warehouse: Warehouse, noun: Noun, artefact: str) -> pa.Table:
    with open_catalog(warehouse.root) as con:
        return run_sql(con, f"SELECT * FROM {VIEWS[noun]} WHERE {noun}_id = '{artefact}' ORDER BY example_id")
