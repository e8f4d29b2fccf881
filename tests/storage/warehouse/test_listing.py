"""Listings never leave out an artefact silently: it is finished, unfinished, or a problem that names its manifest."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import warehouses

from curate.schemas.errors import WarehouseError
from curate.storage.warehouse.listing import list_artefacts
from curate.storage.warehouse.warehouse import Warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "w")


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, str]:
    return warehouses.fill(warehouse)


def the_problem(warehouse: Warehouse, noun: str) -> str:
    (problem,) = list_artefacts(warehouse.root, noun).problems  # type: ignore[arg-type]
    return str(problem)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "[" * 100_000, '{"parts": [{}]}', '{"parts": 3}', '{"parts": [], "speed": 1}'],
)
def test_a_damaged_manifest_is_a_problem(warehouse: Warehouse, ids: dict[str, str], text: str) -> None:
    path = warehouse.folder("selection", ids["paser"]) / "manifest.json"
    path.write_text(text)
    listing = list_artefacts(warehouse.root, "selection")
    assert [one.id for one in listing.manifests] == [ids["uniform"]]
    assert listing.unfinished == []
    assert listing.problems[0].artefact_id == ids["paser"]
    assert f"{path} is damaged" in the_problem(warehouse, "selection")
    with pytest.raises(WarehouseError, match="is damaged"):
        warehouse.manifest("selection", ids["paser"])


@pytest.mark.parametrize(("field", "value"), [("inputs", "[]"), ("created", "3"), ("settings", "null")])
def test_a_field_of_the_wrong_type_is_a_problem(
    warehouse: Warehouse, ids: dict[str, str], field: str, value: str
) -> None:
    import json

    path = warehouse.folder("selection", ids["paser"]) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: json.loads(value)}))
    assert "is damaged" in the_problem(warehouse, "selection")


def test_the_manifest_of_another_artefact_is_a_problem(warehouse: Warehouse, ids: dict[str, str]) -> None:
    warehouse.folder("scores", ids["scores"]).rename(warehouse.folder("scores", "f" * 16))
    assert f"belongs to scores {ids['scores']}; move its folder back" in the_problem(warehouse, "scores")


def test_a_manifest_that_the_disk_does_not_return_is_a_problem(
    warehouse: Warehouse, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, broken = Path.read_bytes, warehouse.folder("selection", ids["paser"]) / "manifest.json"

    def failing(path: Path) -> bytes:
        if path == broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert f"{broken} cannot be read (Input/output error)" in the_problem(warehouse, "selection")


def test_a_folder_without_a_manifest_is_unfinished(warehouse: Warehouse, ids: dict[str, str]) -> None:
    (warehouse.folder("scores", ids["scores"]) / "manifest.json").unlink()
    (warehouse.root / "scores" / "notes.txt").write_text("a file of the user")
    listing = list_artefacts(warehouse.root, "scores")
    assert (listing.manifests, listing.unfinished, listing.problems) == ([], [ids["scores"]], [])


def test_a_link_to_a_disk_that_is_not_mounted_is_a_problem(
    warehouse: Warehouse, ids: dict[str, str], tmp_path: Path
) -> None:
    one = warehouse.folder("selection", ids["paser"])
    one.rename(tmp_path / "elsewhere")
    one.symlink_to(tmp_path / "unmounted")
    assert f"{one}/manifest.json cannot be read (No such file" in the_problem(warehouse, "selection")
    nouns = warehouse.root / "corpus"
    nouns.rename(tmp_path / "corpora")
    nouns.symlink_to(tmp_path / "unmounted")
    assert f"{nouns} cannot be read (No such file" in the_problem(warehouse, "corpus")


def test_a_noun_that_cannot_be_listed_is_a_problem(
    warehouse: Warehouse, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "listdir", failing)
    assert f"{warehouse.root / 'corpus'} cannot be read (Input/output error)" in the_problem(warehouse, "corpus")
    with pytest.raises(WarehouseError, match="which corpus is the latest"):
        warehouse.find("corpus", "latest")


def test_a_folder_that_is_removed_meanwhile_is_not_there(
    warehouse: Warehouse, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: [*listdir(path), "e" * 16])
    listing = list_artefacts(warehouse.root, "selection")
    assert len(listing.manifests) == 2
    assert (listing.unfinished, listing.problems) == ([], [])


def test_a_manifest_that_is_written_meanwhile_is_read(
    warehouse: Warehouse, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = warehouse.folder("scores", ids["scores"]) / "manifest.json"
    content, read = path.read_bytes(), Path.read_bytes
    path.unlink()

    def finishing(one: Path) -> bytes:
        try:
            return read(one)
        except FileNotFoundError:
            path.write_bytes(content)  # another process finishes the artefact right after the first attempt
            raise

    monkeypatch.setattr(Path, "read_bytes", finishing)
    listing = list_artefacts(warehouse.root, "scores")
    assert [one.id for one in listing.manifests] == [ids["scores"]]
    assert (listing.unfinished, listing.problems) == ([], [])
