"""The rows of a recovery carry their groups and the original's losses where the weights of groups need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from corpora import write_corpus

from curate.flows.stages.recovering.group_columns import with_groups
from curate.flows.stages.recovering.job_content import selected_rows
from curate.flows.stages.recovering.request import request_of
from curate.schemas.errors import InputError
from curate.schemas.settings import resolve
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run


def test_rows_get_the_ledgers_group_and_the_scores_of_the_original(
    curate: Run, tiny: tuple[Path, Path], tmp_path: Path
) -> None:
    corpora = [write_corpus(tmp_path / f"{name}.jsonl", 12, seed) for seed, name in enumerate("ab")]
    fixed = ("-c", corpora[0], "-c", corpora[1], "--original", tiny[0], "--compressed", tiny[1], "-w", tmp_path / "w")
    groups = ("--method", "paser", "--consistency", "off", "--groups", "source", "--allocation", "uniform")
    summary = curate("select", *fixed, *groups, "--budget", "6", "--json").value
    warehouse = Warehouse(tmp_path / "w")
    selection = warehouse.manifest("selection", summary["selection_id"])
    rows = with_groups(warehouse, selection, selected_rows(warehouse, selection))
    ledger = {row["example_id"]: row for row in warehouse.read("selection", selection.id).to_pylist()}
    scores = {row["example_id"]: row for row in warehouse.read("scores", selection.inputs["scores"]).to_pylist()}
    assert sorted(rows["group"].to_pylist()) == ["a.jsonl"] * 3 + ["b.jsonl"] * 3
    for row in rows.to_pylist():
        assert row["group"] == ledger[row["example_id"]]["group"]
        assert row["nll_original"] == pytest.approx(scores[row["example_id"]]["nll_original"])


@pytest.mark.parametrize(
    ("how", "lacks"),
    [
        (("--method", "uniform"), "no groups"),
        (
            ("--method", "paser", "--consistency", "off", "--rank", "random", "--groups", "source")
            + ("--allocation", "uniform"),
            "no scores of a pair",
        ),
    ],
)
def test_a_selection_that_lacks_either_is_refused(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], tmp_path: Path, how: tuple[str, ...], lacks: str
) -> None:
    fixed = ("-c", corpus, "--original", tiny[0], "--compressed", tiny[1], "-w", tmp_path / "w")
    summary = curate("select", *fixed, *how, "--budget", "6", "--json").value
    warehouse = Warehouse(tmp_path / "w")
    selection = warehouse.manifest("selection", summary["selection_id"])
    with pytest.raises(InputError, match=f"has {lacks}, which --reweigh needs"):
        with_groups(warehouse, selection, selected_rows(warehouse, selection))


def test_settings_become_the_request() -> None:
    assert request_of(resolve({"recover": {"tokens": "top=0.4"}})).token_share == 0.4
    assert request_of(resolve({"recover": {"reweigh": 5}})).reweigh_steps == 5
    assert request_of(resolve({"recover": {"layers": "auto:2"}})).to_json()["layers"] == "auto:2"
    assert request_of(resolve({})).to_json().keys().isdisjoint({"token_share", "reweigh_steps"})
