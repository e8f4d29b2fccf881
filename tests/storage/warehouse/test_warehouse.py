import logging
import shutil
from pathlib import Path

import pytest
import warehouses

from curate.schemas.embeddings import embeddings_schema
from curate.schemas.errors import UsageError, WarehouseError
from curate.storage.warehouse.warehouse import Warehouse, verify


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("filled") / "w"
    return root, warehouses.fill(Warehouse(root))


@pytest.fixture
def copy(filled: tuple[Path, dict[str, str]], tmp_path: Path) -> tuple[Warehouse, dict[str, str]]:
    shutil.copytree(filled[0], tmp_path / "w")
    return Warehouse(tmp_path / "w"), filled[1]


def test_an_empty_warehouse_can_be_read(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "nowhere")
    assert warehouse.list("corpus") == []
    assert not warehouse.has("corpus", "x")
    with pytest.raises(UsageError, match="there is no corpus in .*nowhere yet"):
        warehouse.find("corpus", "latest")
    assert not (tmp_path / "nowhere").exists()


def test_one_batch_per_part_in_order(copy: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = copy
    batches = list(warehouse.batches("corpus", ids["corpus"], columns=["example_id"]))
    assert [batch.num_rows for batch in batches] == [25, 25, 10]
    assert [value for batch in batches for value in batch["example_id"].to_pylist()] == warehouses.IDS
    table = warehouse.read("corpus", ids["corpus"])
    assert table.to_pylist() == [warehouses.example(i) for i in range(warehouses.ROWS)]
    assert warehouse.manifest("corpus", ids["corpus"]).rows() == warehouses.ROWS


def test_schemas_survive_the_disk(copy: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = copy
    assert warehouse.read("embeddings", ids["embeddings"]).schema.equals(embeddings_schema(4))
    assert warehouse.read("selection", ids["uniform"], "allocation").num_rows == 0


def test_a_table_that_no_part_has(copy: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = copy
    artefact_id = warehouses.make(warehouse, "clusters", {"corpus": "x"}, {}, {})
    assert warehouse.read("clusters", artefact_id, "curve", ["k"]).schema.names == ["k"]
    with pytest.raises(WarehouseError, match="has no table 'speed'"):
        warehouse.read("corpus", ids["corpus"], "speed")
    with pytest.raises(KeyError, match="speed"):
        warehouse.read("corpus", ids["corpus"], columns=["speed"])


def test_find(copy: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = copy
    assert warehouse.find("selection", "latest").id == ids["paser"]
    assert warehouse.find("selection", "previous").id == ids["uniform"]
    with pytest.raises(UsageError, match="there is only one corpus"):
        warehouse.find("corpus", "previous")
    assert [one.id for one in warehouse.list("selection")] == [ids["paser"], ids["uniform"]]
    assert warehouse.find("selection", ids["uniform"]).id == ids["uniform"]
    assert warehouse.find("corpus", ids["corpus"][:4]).id == ids["corpus"]
    with pytest.raises(UsageError, match=f"begins with 'zz'; the newest are {ids['paser']}, {ids['uniform']}"):
        warehouse.find("selection", "zz")
    shutil.copytree(warehouse.folder("selection", ids["paser"]), warehouse.folder("selection", ids["paser"][:-1] + "?"))
    path = warehouse.folder("selection", ids["paser"][:-1] + "?") / "manifest.json"
    path.write_text(path.read_text().replace(f'"id": "{ids["paser"]}"', f'"id": "{ids["paser"][:-1]}?"'))
    with pytest.raises(UsageError, match="could be any of .*give more digits"):
        warehouse.find("selection", ids["paser"][:8])
    assert warehouse.find("selection", ids["paser"]).id == ids["paser"]


def test_a_folder_without_manifest_does_not_exist_for_readers(copy: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = copy
    (warehouse.folder("scores", ids["scores"]) / "manifest.json").unlink()
    assert not warehouse.has("scores", ids["scores"])
    assert warehouse.list("scores") == []
    with pytest.raises(WarehouseError, match=f"scores {ids['scores']} is not in"):
        warehouse.read("scores", ids["scores"])


@pytest.mark.parametrize("prefix", ["latest", "previous"])
def test_the_latest_is_refused_while_a_manifest_cannot_be_read(
    copy: tuple[Warehouse, dict[str, str]], prefix: str
) -> None:
    warehouse, ids = copy
    path = warehouse.folder("selection", ids["uniform"]) / "manifest.json"
    path.write_text("{")
    unknown = f"which selection is the {prefix}: {path} is damaged; see `curate doctor`"
    with pytest.raises(WarehouseError, match=unknown):
        warehouse.find("selection", prefix)
    with pytest.raises(WarehouseError, match=f"cannot list every selection: {path} is damaged"):
        warehouse.list("selection")
    assert warehouse.find("recovery", "latest").id == ids["recovery"], "other nouns are not affected"


def test_an_id_is_found_beside_an_unreadable_artefact(
    copy: tuple[Warehouse, dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    warehouse, ids = copy
    path = warehouse.folder("selection", ids["uniform"]) / "manifest.json"
    path.write_text("{")
    assert warehouse.find("selection", ids["paser"][:8]).id == ids["paser"]
    with pytest.raises(WarehouseError, match=f"cannot find selection '{ids['uniform'][:8]}': {path} is damaged"):
        warehouse.find("selection", ids["uniform"][:8])
    with pytest.raises(UsageError, match=f"begins with 'zz'; the newest are {ids['paser']}"):
        warehouse.find("selection", "zz")
    with caplog.at_level(logging.WARNING):
        assert [one.id for one in warehouse.list_readable("selection")] == [ids["paser"]]
    assert f"{path} is damaged" in caplog.text


def test_verify_names_every_damaged_part(copy: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = copy
    folder = warehouse.folder("corpus", ids["corpus"])
    assert verify(warehouse, "corpus", ids["corpus"]) == []
    content = bytearray((folder / "part-00001.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "part-00001.parquet").write_bytes(content)
    (folder / "sources-00000.parquet").unlink()
    problems = verify(warehouse, "corpus", ids["corpus"])
    assert len(problems) == 2
    assert "part-00001.parquet changed after it was written" in problems[0]
    assert "sources-00000.parquet is missing" in problems[1]


def test_a_missing_or_damaged_part_is_named_when_read(copy: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = copy
    folder = warehouse.folder("corpus", ids["corpus"])
    (folder / "part-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(WarehouseError, match=r"part-00001.parquet changed after it was written; run"):
        warehouse.read("corpus", ids["corpus"])
    (folder / "part-00001.parquet").unlink()
    with pytest.raises(WarehouseError, match="part-00001.parquet is missing"):
        warehouse.read("corpus", ids["corpus"])


def test_a_deleted_part_is_rebuilt_after_its_manifest_is_deleted(copy: tuple[Warehouse, dict[str, str]]) -> None:
    """The repair that the error messages advise."""
    warehouse, ids = copy
    folder = warehouse.folder("corpus", ids["corpus"])
    before = warehouse.read("corpus", ids["corpus"])
    (folder / "part-00001.parquet").unlink()
    (folder / "manifest.json").unlink()
    assert warehouses.corpus(warehouse) == ids["corpus"]
    assert warehouse.read("corpus", ids["corpus"]).equals(before)
    assert verify(warehouse, "corpus", ids["corpus"]) == []


def test_a_named_lock(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w", lock_timeout=0.05)
    with warehouse.lock("models-demo"), pytest.raises(WarehouseError, match="models-demo in .*w is locked by process"):
        with warehouse.lock("models-demo"):
            pass
