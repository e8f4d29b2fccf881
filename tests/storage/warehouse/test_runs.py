import json
import os
import signal
from pathlib import Path

import pytest

from curate.storage.catalog.publish import publish
from curate.storage.catalog.queries import open_catalog, run_sql
from curate.storage.warehouse.runs import read_runs
from curate.storage.warehouse.warehouse import Warehouse


def test_a_run_records_how_it_ended(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with warehouse.start_run("select --budget 0.1", {"seed": 0}) as run:
        run.add("corpus", "aa")
        run.add("corpus", "aa")
        assert [one.status for one in read_runs(tmp_path)[0]] == ["running"]
    with pytest.raises(ValueError, match="no"), warehouse.start_run("embed", {}):
        raise ValueError("no")
    with pytest.raises(KeyboardInterrupt), warehouse.start_run("score", {}):
        raise KeyboardInterrupt
    records, problems = read_runs(tmp_path)
    assert problems == []
    assert [(one.command, one.status, one.error) for one in records] == [
        ("score", "interrupted", None),
        ("embed", "failed", "no"),
        ("select --budget 0.1", "finished", None),
    ]
    assert records[2].artefacts == ["corpus/aa"]
    assert records[2].settings == {"seed": 0}
    assert records[2].finished is not None
    assert records[2].started < records[2].finished


def test_a_killed_run_reads_as_interrupted(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        Warehouse(tmp_path).start_run("select", {})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [one.status for one in read_runs(tmp_path)[0]] == ["interrupted"]


def test_a_later_process_with_the_same_id_is_not_mistaken_for_it(tmp_path: Path) -> None:
    run = Warehouse(tmp_path).start_run("select", {})
    assert [one.status for one in read_runs(tmp_path)[0]] == ["running"]
    path = tmp_path / "runs" / f"{run.record.id}.json"
    path.write_text(path.read_text().replace(f'"birth": "{run.record.birth}"', '"birth": "1"'))
    assert [one.status for one in read_runs(tmp_path)[0]] == ["interrupted"]


def test_a_run_of_another_host_is_believed(tmp_path: Path) -> None:
    run = Warehouse(tmp_path).start_run("select", {})
    path = tmp_path / "runs" / f"{run.record.id}.json"
    text = path.read_text().replace(f'"host": "{run.record.host}"', '"host": "elsewhere"')
    path.write_text(text.replace(f'"pid": {run.record.pid}', '"pid": 999999999'))
    assert [one.status for one in read_runs(tmp_path)[0]] == ["running"]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    run = Warehouse(tmp_path).start_run("select", {})
    (tmp_path / "runs" / f"{run.record.id}.json").write_text("{")
    records, problems = read_runs(tmp_path)
    assert records == []
    assert run.record.id in problems[0]


@pytest.mark.parametrize(
    "change",
    [
        {"id": 7},
        {"id": "another"},
        {"command": ["select"]},
        {"started": None},
        {"finished": 5},
        {"artefacts": "corpus/x"},
        {"artefacts": [3]},
        {"settings": []},
        {"pid": "1"},
        {"surprise": 1},
    ],
)
def test_a_strange_record_is_a_problem_and_stops_no_publishing(tmp_path: Path, change: dict[str, object]) -> None:
    warehouse = Warehouse(tmp_path)
    with warehouse.start_run("select", {}) as run:
        pass
    good = tmp_path / "runs" / f"{run.record.id}.json"
    strange = good.with_name("29990101T000000000000-0000.json")
    strange.write_text(json.dumps({**json.loads(good.read_text()), "id": strange.stem, **change}))
    records, problems = read_runs(tmp_path)
    assert [record.id for record in records] == [run.record.id]
    assert len(problems) == 1
    assert str(strange) in problems[0]
    publish(warehouse)
    with open_catalog(tmp_path) as con:
        assert run_sql(con, "SELECT run_id FROM runs")["run_id"].to_pylist() == [run.record.id]
