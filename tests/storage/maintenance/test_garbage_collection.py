"""Garbage collection: inputs of results and recent runs are kept, other artefacts removed, never during a run.

Nothing is removed while a manifest or a run record cannot be read.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import warehouses

from curate.schemas.artefacts import NOUNS
from curate.schemas.errors import GateError
from curate.schemas.pilots import PILOTS
from curate.schemas.scores import IMPORTED
from curate.storage.catalog import queries
from curate.storage.catalog.publish import publish
from curate.storage.maintenance import garbage_collection
from curate.storage.warehouse import places
from curate.storage.warehouse.warehouse import Warehouse, verify

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86400.0
LATER = 8 * DAY


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "w")


@pytest.fixture
def ids(warehouse: Warehouse) -> dict[str, str]:
    """Fill the warehouse, and add embeddings and a corpus that no selection uses."""
    artefact_ids = warehouses.fill(warehouse)
    artefact_ids["unused"] = warehouses.embeddings(warehouse, artefact_ids["corpus"], width=5)
    artefact_ids["other corpus"] = warehouses.corpus(warehouse, "b.jsonl")
    artefact_ids["of other"] = warehouses.embeddings(warehouse, artefact_ids["other corpus"])
    return artefact_ids


def paths(garbage: list[garbage_collection.Garbage], warehouse: Warehouse) -> set[str]:
    return {str(one.path.relative_to(warehouse.root)) for one in garbage}


def existing(warehouse: Warehouse) -> set[str]:
    return {f"{noun}/{one.id}" for noun in NOUNS for one in warehouse.list(noun)}


def age(path: Path, days: float) -> None:
    """Make a file or folder look `days` old."""
    then = time.time() - days * DAY
    for one in (*path.rglob("*"), path):
        os.utime(one, (then, then))


def test_inputs_of_selections_are_kept(warehouse: Warehouse, ids: dict[str, str]) -> None:
    garbage = garbage_collection.find_garbage(warehouse, 7, time.time() + LATER)
    # The embeddings stand behind the clusters that the selection used, though it did not read them itself.
    assert paths(garbage, warehouse) == {
        f"embeddings/{ids['unused']}", f"corpus/{ids['other corpus']}", f"embeddings/{ids['of other']}",
    }  # fmt: skip
    assert all(one.bytes > 0 and 7.9 < one.days < 8.1 for one in garbage)
    assert garbage_collection.find_garbage(warehouse, 7) == [], "all of it is young"


def test_pilots_are_kept_with_the_selections_that_used_them(warehouse: Warehouse, ids: dict[str, str]) -> None:
    row = {"cluster": 0, "rows": 10, "tokens": 90, "loss_before": 0.5, "loss_after": 0.4, "heldout_rows": 9}
    tables = {"part": ([{**row, "heldout_tokens": 40}], PILOTS)}
    used = {noun: ids[noun] for noun in ("corpus", "clusters", "scores")}
    mine, other = (warehouses.make(warehouse, "pilots", used, {"seed": seed}, tables) for seed in (0, 1))
    warehouses.selection(warehouse, {**used, "pilots": mine})
    garbage = paths(garbage_collection.find_garbage(warehouse, 7, time.time() + LATER), warehouse)
    assert f"pilots/{other}" in garbage
    assert f"pilots/{mine}" not in garbage
    publish(warehouse)
    with queries.open_catalog(warehouse.root) as con:
        rows = queries.run_sql(con, "SELECT pilots_id, rows, loss_after FROM pilots ORDER BY pilots_id").to_pylist()
    assert rows == [{"pilots_id": one, "rows": 10, "loss_after": 0.4} for one in sorted((mine, other))]


def test_artefacts_of_recent_runs_are_kept(warehouse: Warehouse, ids: dict[str, str]) -> None:
    with warehouse.start_run("embed", {}) as run:
        run.add("embeddings", ids["of other"])
    assert paths(garbage_collection.find_garbage(warehouse, 0, time.time()), warehouse) >= {
        f"embeddings/{ids['of other']}"
    }
    soon = garbage_collection.find_garbage(warehouse, 1, time.time() + 0.9 * DAY)
    assert soon == []
    later = paths(garbage_collection.find_garbage(warehouse, 7, time.time() + LATER), warehouse)
    assert f"embeddings/{ids['of other']}" in later


def test_an_old_artefact_that_a_recent_run_used_is_kept(
    warehouse: Warehouse, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime.now(UTC).isoformat()
    monkeypatch.setattr(garbage_collection, "_age", lambda moment, now: 30.0 if moment < start else 0.5)
    with warehouse.start_run("embed", {}) as run:
        run.add("embeddings", ids["of other"])
    garbage = paths(garbage_collection.find_garbage(warehouse, 7), warehouse)
    assert garbage == {f"embeddings/{ids['unused']}"}, "the corpus behind what the run used is kept too"


def test_collect_removes_the_listed_garbage_and_updates_the_catalog(warehouse: Warehouse, ids: dict[str, str]) -> None:
    publish(warehouse)
    before = existing(warehouse)
    listed = garbage_collection.find_garbage(warehouse, 0)
    assert paths(garbage_collection.collect(warehouse, 0), warehouse) == paths(listed, warehouse)
    gone = {f"embeddings/{ids['unused']}", f"corpus/{ids['other corpus']}", f"embeddings/{ids['of other']}"}
    assert existing(warehouse) == before - gone
    for name in existing(warehouse):
        noun, _, artefact_ids = name.partition("/")
        assert verify(warehouse, noun, artefact_ids) == []  # type: ignore[arg-type]
    with queries.open_catalog(warehouse.root) as con:
        known = queries.run_sql(con, "SELECT DISTINCT embeddings_id FROM embeddings")["embeddings_id"].to_pylist()
    assert known == [ids["embeddings"]]
    assert not list(warehouse.root.rglob(".tmp-*"))
    assert garbage_collection.collect(warehouse, 0) == []


def test_old_leftovers_are_garbage(warehouse: Warehouse, ids: dict[str, str]) -> None:
    begun = warehouse.folder("scores", "f" * 16)
    begun.mkdir(parents=True)
    (begun / "begin.json").write_text("{}")
    torn = warehouse.folder("corpus", ids["corpus"]) / ".tmp-1-part-00000.parquet.unfinished"
    torn.write_bytes(b"PAR1")
    picture = warehouse.root / "pictures" / f"{'e' * 16}.png"
    report = warehouse.root / "reports" / f"{ids['paser']}-plane.png"
    curve = warehouse.root / "pictures" / f"{ids['clusters']}.png"
    for path in (picture, report, curve):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert garbage_collection.find_garbage(warehouse, 7) == []
    for path in (begun, torn, picture, report, curve):
        age(path, 9)
    garbage = {one.path: one.why for one in garbage_collection.find_garbage(warehouse, 7)}
    assert garbage.keys() == {begun, torn, picture}
    garbage_collection.collect(warehouse, 7)
    assert [path.exists() for path in (begun, torn, picture, report, curve)] == [False, False, False, True, True]
    assert verify(warehouse, "corpus", ids["corpus"]) == []


def test_imported_scores_and_models_of_recoveries_are_kept(warehouse: Warehouse, ids: dict[str, str]) -> None:
    columns = [{"example_id": warehouses.IDS[0], "signal": "quality", "value": 0.5}]
    inputs = {"corpus": ids["corpus"], "file": "3" * 16}
    tables = {"imported": (columns, IMPORTED)}
    imported = warehouses.make(warehouse, "scores", inputs, {"imported": "q.csv"}, tables)
    recovery = warehouses.make(warehouse, "recovery", {"selection": ids["paser"]}, {"method": "lora"}, {})
    mine, gone = (warehouse.root / "models" / f"recovered-{name}" for name in (recovery, "e" * 16))
    work = warehouse.root / "jobs" / ("d" * 16)
    for folder in (mine, gone, work):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"x")
    assert garbage_collection.collect(warehouse, 7) == []
    garbage_collection.collect(warehouse, 0)
    assert not work.exists()
    assert warehouse.has("scores", imported)
    assert mine.exists()
    assert not gone.exists()


def test_cached_predictions_are_garbage_once_no_run_uses_them(warehouse: Warehouse, ids: dict[str, str]) -> None:
    old, used, torn = (warehouse.root / places.ORIGINAL_CACHE / name for name in ("old", "used", "torn"))
    for folder in (old, used, torn):
        folder.mkdir(parents=True)
        (folder / "part-00000.safetensors").write_bytes(b"xyz")
    for folder in (old, used):
        (folder / "teacher.json").write_text("{}")
    assert garbage_collection.find_garbage(warehouse, 7) == []
    for folder in (old, used, torn):
        age(folder, 9)
    os.utime(used / "teacher.json")
    garbage = {one.path: (one.bytes, round(one.days)) for one in garbage_collection.find_garbage(warehouse, 7)}
    assert garbage == {old: (5, 9), torn: (3, 9)}
    with warehouse.start_run("score", {}), pytest.raises(GateError, match="is in progress"):
        garbage_collection.collect(warehouse, 7)
    assert old.exists()
    garbage_collection.collect(warehouse, 7)
    assert sorted((warehouse.root / places.ORIGINAL_CACHE).iterdir()) == [used]


def test_a_killed_collection_of_cached_predictions_is_finished(warehouse: Warehouse, ids: dict[str, str]) -> None:
    half = warehouse.root / places.ORIGINAL_CACHE / f"{places.TRASH}old"
    half.mkdir(parents=True)
    (half / "part-00000.safetensors").write_bytes(b"xyz")
    assert garbage_collection.collect(warehouse, 7) == []
    assert not half.exists()


def test_nothing_is_removed_during_a_run(warehouse: Warehouse, ids: dict[str, str]) -> None:
    before = existing(warehouse)
    with warehouse.start_run("select", {}), pytest.raises(GateError, match="is in progress"):
        garbage_collection.collect(warehouse, 0)
    assert existing(warehouse) == before
    garbage_collection.collect(warehouse, 0)
    assert existing(warehouse) < before


def test_a_killed_collection_is_finished_by_the_next(warehouse: Warehouse, ids: dict[str, str]) -> None:
    code = (
        "import os, shutil, sys\nfrom pathlib import Path\nfrom curate.storage.maintenance import garbage_collection\n"
        "from curate.storage.warehouse.warehouse import Warehouse\n"
        "shutil.rmtree = lambda *_, **__: os._exit(9)\n"
        "garbage_collection.collect(Warehouse(Path(sys.argv[1])), 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(warehouse.root)], check=False)
    assert done.returncode == 9
    assert list(warehouse.root.rglob(f"{places.TRASH}*"))
    assert f"embeddings/{ids['unused']}" not in existing(warehouse), "no reader sees what is half removed"
    garbage_collection.collect(warehouse, 7)
    assert not list(warehouse.root.rglob(f"{places.TRASH}*"))
    assert f"selection/{ids['paser']}" in existing(warehouse)


def content(warehouse: Warehouse) -> dict[str, bytes]:
    """Return every file of the warehouse, locks left out, so that a test can compare all bytes."""
    files = (path for path in sorted(warehouse.root.rglob("*")) if path.is_file() and not path.name.endswith(".lock"))
    return {str(path.relative_to(warehouse.root)): path.read_bytes() for path in files}


def other_id(path: Path) -> None:
    path.write_text(path.read_text().replace(f'"id": "{path.parent.name}"', f'"id": "{"a" * 16}"'))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_text("{"), "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (other_id, f"belongs to selection {'a' * 16}"),
    ],
)
def test_nothing_is_removed_while_a_manifest_cannot_be_read(
    warehouse: Warehouse, ids: dict[str, str], damage: Callable[[Path], None], reason: str
) -> None:
    publish(warehouse)
    path = warehouse.folder("selection", ids["paser"]) / "manifest.json"
    damage(path)
    before = content(warehouse)
    stopped = f"garbage collection stopped and removed nothing: {path} {reason}; see `curate doctor`"
    for act in (garbage_collection.find_garbage, garbage_collection.collect):
        with pytest.raises(GateError, match=stopped) as caught:
            act(warehouse, 0)
        assert caught.value.exit_code == 4
        assert f"remove the folder {path.parent}" in str(caught.value)
    assert content(warehouse) == before


@pytest.mark.parametrize("noun", ["corpus", "recovery"])
def test_nothing_is_removed_when_the_disk_does_not_return_a_manifest(
    warehouse: Warehouse, ids: dict[str, str], noun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, before = Path.read_bytes, content(warehouse)
    broken = warehouse.folder(noun, ids[noun]) / "manifest.json"  # type: ignore[arg-type]

    def failing(path: Path) -> bytes:
        if path == broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", failing)
        with pytest.raises(GateError, match=f"{broken} cannot be read .Input/output error.; see `curate doctor`"):
            garbage_collection.collect(warehouse, 0)
    assert content(warehouse) == before
    garbage_collection.collect(warehouse, 0)
    assert f"embeddings/{ids['unused']}" not in existing(warehouse), "once it can be read again, collection goes on"


def test_nothing_is_removed_while_a_run_record_cannot_be_read(warehouse: Warehouse, ids: dict[str, str]) -> None:
    with warehouse.start_run("embed", {}) as run:
        run.add("embeddings", ids["of other"])
    path = warehouse.root / "runs" / f"{run.record.id}.json"
    path.write_text("{")
    before = content(warehouse)
    with pytest.raises(GateError, match=f"removed nothing: {path} cannot be read"):
        garbage_collection.collect(warehouse, 0)
    assert content(warehouse) == before
