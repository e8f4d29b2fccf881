"""The parts of the scheduled flows that need no server: the drop folder, the drift gate, what may be retried."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

import pytest
import warehouses
import yaml
from documents import ROOT

from curate.flows.deployments.drift_gate import worth_training
from curate.flows.deployments.drop_folder import settled_files
from curate.flows.deployments.retries import is_transient
from curate.schemas.errors import GateError, InputError, UsageError, WarehouseError
from curate.storage.warehouse.atomic import reporting
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path


def test_only_settled_files_are_read(tmp_path: Path) -> None:
    names = ["b.jsonl", "a.jsonl", "deep/c.csv", ".hidden", ".folder/x.jsonl", "d.jsonl.part", "e.tmp", "empty.jsonl"]
    for name in [*names, "fresh.jsonl"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("" if name == "empty.jsonl" else "{}")
        if name != "fresh.jsonl":
            os.utime(path, (0, 0))
    expected = ["a.jsonl", "b.jsonl", "deep/c.csv"]
    assert settled_files(tmp_path, 60) == tuple(str(tmp_path / name) for name in expected)
    later = settled_files(tmp_path, 60, now=time.time() + 61)
    assert str(tmp_path / "fresh.jsonl") in later
    with pytest.raises(InputError, match="there is no drop folder"):
        settled_files(tmp_path / "nowhere", 60)


def recovery(warehouse: Warehouse, selection: str) -> str:
    return warehouses.make(warehouse, "recovery", {"selection": selection}, {"method": "lora"}, {})


def test_the_drift_gate_compares_with_what_was_trained_on_last(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    first, near, far = (
        warehouses.selection(warehouse, {"corpus": corpus}, method, budget)
        for method, budget in (("uniform", 20), ("uniform", 19), ("paser", 20))
    )
    assert worth_training(warehouse, first, 0.9).train
    recovery(warehouse, first)
    assert worth_training(warehouse, first, 0.9) == (False, worth_training(warehouse, first, 0.9).why)
    assert not worth_training(warehouse, near, 0.9).train, "19 of 20 rows are the same"
    assert "0.950" in worth_training(warehouse, near, 0.9).why
    assert worth_training(warehouse, near, 0.96).train
    assert worth_training(warehouse, far, 0.9).train
    assert "0.000" in worth_training(warehouse, far, 0.9).why


def test_a_trained_selection_that_is_gone_is_no_reason_to_wait(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    recovery(warehouse, "f" * 16)
    verdict = worth_training(warehouse, warehouses.selection(warehouse, {"corpus": corpus}), 0.9)
    assert verdict.train
    assert "is gone" in verdict.why


def caused(code: int) -> WarehouseError:
    """Return the error of the warehouse that a disk's error becomes."""
    with pytest.raises(WarehouseError) as caught, reporting("write", ROOT):
        raise OSError(code, os.strerror(code))
    return caught.value


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionResetError(), True), (TimeoutError(), True), (OSError(errno.ESTALE, "stale"), True),
        (caused(errno.EIO), True), (caused(errno.ENOSPC), False), (caused(errno.EACCES), False),
        (OSError("no number"), False), (UsageError("budget"), False), (InputError("file"), False),
        (GateError("drift"), False), (ValueError("bug"), False),
    ],
)  # fmt: skip
def test_only_errors_of_the_moment_are_tried_again(error: Exception, passes: bool) -> None:
    assert is_transient(error) == passes


def test_prefect_yaml_names_flows_that_are_there_and_parameters_that_they_take() -> None:
    import inspect

    from curate.flows.deployments import scheduled

    deployments = {one["name"]: one for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]}
    assert deployments.keys() == {"curation-nightly", "recovery", "gc-weekly"}
    for one in deployments.values():
        module, _, name = one["entrypoint"].rpartition(".")
        assert module == scheduled.__name__
        assert one["parameters"].keys() <= inspect.signature(getattr(scheduled, name).fn).parameters.keys()
        assert all("active" in schedule and "slug" in schedule for schedule in one["schedules"])
    assert deployments["curation-nightly"]["parameters"]["recovery"] == "recovery/recovery"
