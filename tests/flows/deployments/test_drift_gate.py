"""The drift gate compares a new selection with the last one that was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import warehouses

from curate.flows.deployments.drift_gate import worth_training
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path


def add_recovery(warehouse: Warehouse, selection: str) -> str:
    return warehouses.make(warehouse, "recovery", {"selection": selection}, {"method": "lora"}, {})


def test_the_overlap_with_the_last_trained_selection_decides(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    first, near, far = (
        warehouses.selection(warehouse, {"corpus": corpus}, method, budget)
        for method, budget in (("uniform", 20), ("uniform", 19), ("paser", 20))
    )
    assert worth_training(warehouse, first, 0.9).train
    recovery = add_recovery(warehouse, first)
    assert worth_training(warehouse, first, 0.9) == (False, f"recovery {recovery} was trained on this very selection")
    assert not worth_training(warehouse, near, 0.9).train, "19 of 20 rows are the same"
    assert "0.950" in worth_training(warehouse, near, 0.9).reason
    assert worth_training(warehouse, near, 0.96).train
    assert worth_training(warehouse, far, 0.9).train
    assert "0.000" in worth_training(warehouse, far, 0.9).reason


def test_a_deleted_trained_selection_does_not_block_training(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    corpus = warehouses.corpus(warehouse)
    add_recovery(warehouse, "f" * 16)
    decision = worth_training(warehouse, warehouses.selection(warehouse, {"corpus": corpus}), 0.9)
    assert decision.train
    assert "no longer exists" in decision.reason
