"""Changed parts are errors when they are read, by every reader."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
import warehouses

from curate.schemas.errors import WarehouseError
from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog, run_sql
from curate.storage.warehouse import integrity, part_file
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

READ = {"examples": ("corpus", "part"), "sources": ("corpus", "sources"), "ledger": ("selection", "part")}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Warehouse, dict[str, str]]:
    warehouse = Warehouse(tmp_path_factory.mktemp("filled") / "w")
    ids = warehouses.fill(warehouse)
    publish(warehouse)
    return warehouse, {"corpus": ids["corpus"], "selection": ids["paser"]}


@pytest.fixture
def copy(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> Warehouse:
    return Warehouse(shutil.copytree(filled[0].root, tmp_path / "w"))


def flip(path: Path, bit: int) -> None:
    """Flip one bit and keep the time of the file, as a disk does."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.unlink()  # another inode, as after a restart of the machine: this process may have read the old one
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("view", READ)
def test_a_flipped_bit_is_noticed_by_every_reader(
    copy: Warehouse, filled: tuple[Warehouse, dict[str, str]], view: str
) -> None:
    noun, table = READ[view]
    artefact_id = filled[1][noun]
    path = copy.folder(noun, artefact_id) / part_file.file_name(table, 0)  # type: ignore[arg-type]
    intact, draw = path.read_bytes(), random.Random(0)
    for bit in [0, len(intact) * 8 - 1, *(draw.randrange(len(intact) * 8) for _ in range(12))]:
        flip(path, bit)
        with pytest.raises(WarehouseError, match=r"changed after it was written; run `curate doctor --repair`"):
            copy.read(noun, artefact_id, table)  # type: ignore[arg-type]
        # A session each: DuckDB keeps blocks of a file that has the same time.
        with open_catalog(copy.root) as con, pytest.raises(WarehouseError):
            run_sql(con, f"SELECT * FROM {view}")
        path.write_bytes(intact)
    with open_catalog(copy.root) as con:
        assert run_sql(con, f"SELECT * FROM {view}").num_rows
    assert copy.read(noun, artefact_id, table).num_rows  # type: ignore[arg-type]


def test_a_swapped_part_is_noticed(copy: Warehouse, filled: tuple[Warehouse, dict[str, str]]) -> None:
    folder = copy.folder("corpus", filled[1]["corpus"])
    one, other = (folder / part_file.file_name("part", index) for index in (0, 1))
    swapped = one.read_bytes(), other.read_bytes()
    other.write_bytes(swapped[0])
    one.write_bytes(swapped[1])
    with pytest.raises(WarehouseError, match="changed after it was written"):
        copy.read("corpus", filled[1]["corpus"], columns=["example_id"])
    with open_catalog(copy.root) as con, pytest.raises(WarehouseError, match="changed after it was written"):
        run_sql(con, "SELECT example_id FROM examples LIMIT 1")
    unchecked = Warehouse(copy.root, verify=False)
    assert unchecked.read("corpus", filled[1]["corpus"]).num_rows == warehouses.ROWS
    with open_catalog(copy.root, verify=False) as con:
        assert run_sql(con, "SELECT count(*) AS n FROM examples")["n"][0].as_py() == warehouses.ROWS


def test_page_checksums_are_written_and_read(copy: Warehouse, filled: tuple[Warehouse, dict[str, str]]) -> None:
    path = copy.folder("corpus", filled[1]["corpus"]) / part_file.file_name("part", 0)
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    flip(path, 8 * (column.dictionary_page_offset or column.data_page_offset) + 8 * column.total_compressed_size // 2)
    with pytest.raises(OSError, match=r"CRC|checksum|corrupt"):
        part_file.decode(path)


def test_a_part_is_read_in_full_once_per_process(
    copy: Warehouse, filled: tuple[Warehouse, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(integrity, "_checked", {})

    def recorded(path: Path) -> str:
        read.append(path)
        return part_file.checksum_file(path)

    monkeypatch.setattr(integrity, "checksum_file", recorded)
    for _ in range(2):
        copy.read("corpus", filled[1]["corpus"], columns=["example_id"])
        with open_catalog(copy.root) as con:
            run_sql(con, "SELECT prompt FROM examples WHERE n_turns = 2")
    assert len([path for path in read if path.name.startswith("part-")]) == 3
    assert len(read) == len(set(read))


def test_parts_without_page_checksums_are_read(copy: Warehouse, filled: tuple[Warehouse, dict[str, str]]) -> None:
    path = copy.root / "old.parquet"
    table = copy.read("corpus", filled[1]["corpus"])
    pq.write_table(table, path)
    assert part_file.decode(path).equals(table)
