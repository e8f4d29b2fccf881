"""`curate doctor --repair`: damaged artefacts are made again with the same rows, and of others it is said why not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import corpora
import pytest

from curate.schemas.errors import WarehouseError
from curate.storage.warehouse.warehouse import Warehouse, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.fixture
def made(curate: Run, tmp_path: Path) -> tuple[Warehouse, dict[str, str]]:
    corpus = corpora.write_corpus(tmp_path / "rows.jsonl", rows=60)
    words = ["--method", "uniform", "--corpus", corpus, "--part-rows", "20", "-w", tmp_path / "w"]
    selection = curate("select", *words, "--json").value
    return Warehouse(tmp_path / "w"), {"corpus": selection["inputs"]["corpus"], "selection": selection["selection_id"]}


def parts(warehouse: Warehouse, ids: dict[str, str]) -> dict[str, bytes]:
    return {
        str(path.relative_to(warehouse.root)): path.read_bytes()
        for noun, artefact_id in ids.items()
        for path in (warehouse.root / noun / artefact_id).glob("*.parquet")
    }


def damage(warehouse: Warehouse, ids: dict[str, str]) -> None:
    """Damage two parts of the corpus, of which one is gone, and the manifest of the selection."""
    folder = warehouse.folder("corpus", ids["corpus"])
    content = bytearray((folder / "part-00001.parquet").read_bytes())
    content[40] ^= 8
    (folder / "part-00001.parquet").write_bytes(content)
    (folder / "sources-00002.parquet").unlink()
    (warehouse.folder("selection", ids["selection"]) / "manifest.json").write_text("{")


def test_damaged_artefacts_are_made_again(curate: Run, made: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = made
    before = parts(warehouse, ids)
    damage(warehouse, ids)
    with pytest.raises(WarehouseError, match=r"changed after it was written; run `curate doctor --repair`"):
        warehouse.read("corpus", ids["corpus"])
    answer = curate("doctor", "--repair", "-w", warehouse.root, "--json")
    assert answer.code == 0, answer
    assert [(one["noun"], one["id"], one["outcome"]) for one in answer.value] == [
        ("corpus", ids["corpus"], "made again"),
        ("selection", ids["selection"], "made again"),
    ]
    assert len(answer.value[0]["problems"]) == 2
    assert parts(warehouse, ids) == before
    assert not verify(warehouse, "corpus", ids["corpus"])
    assert curate("doctor", "-w", warehouse.root).code == 0
    assert "no damaged artefact" in curate("doctor", "--repair", "-w", warehouse.root).out


def test_what_cannot_be_made_again_stays_as_it_was(
    curate: Run, made: tuple[Warehouse, dict[str, str]], tmp_path: Path
) -> None:
    warehouse, ids = made
    (tmp_path / "rows.jsonl").write_text('{"instruction": "another", "output": "row"}\n')
    damage(warehouse, {**ids})
    before = parts(warehouse, ids)
    answer = curate("doctor", "--repair", "-w", warehouse.root)
    assert answer.code == 1
    assert f"corpus {ids['corpus']}: cannot be made again: its inputs or settings are no longer those" in answer.out
    assert "restore its folder from a backup" in answer.out
    left = parts(warehouse, {"corpus": ids["corpus"]})
    assert left == {name: content for name, content in before.items() if name.startswith("corpus")}
    assert warehouse.has("corpus", ids["corpus"])


def test_without_a_record_of_the_run(curate: Run, made: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = made
    damage(warehouse, ids)
    shutil.rmtree(warehouse.root / "runs")
    answer = curate("doctor", "--repair", "-w", warehouse.root)
    assert answer.code == 1
    assert "no run record names it" in answer.out
