"""The report's section about targets: rows that no sample confirms, surest first, escaped, without forgotten ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import warehouses

from curate.schemas.targets import TARGETS
from curate.storage.catalog.publish import publish
from curate.storage.maintenance.forgotten import forget
from curate.storage.report.contents import read_contents
from curate.storage.report.page import write_report
from curate.storage.report.targets import targets, unconfirmed
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "<script>alert(1)</script>"


def sample(
    example_id: str, number: int, text: str, right: bool | None, logp: float, cut: bool = False
) -> dict[str, Any]:
    return {
        "example_id": example_id, "number": number, "text": text, "n_tokens": 2, "mean_logp": logp, "passed": right,
        "score": float(bool(right)), "accepted": bool(right), "stopped_early": cut, "contaminated_by": None,
    }  # fmt: skip


def test_rows_without_a_right_sample_are_suspects_surest_first() -> None:
    samples = [
        sample("solved later", 1, "x", False, -0.1), sample("solved later", 2, "y", True, -1.0),
        sample("unsure", 1, "a", False, -3.0), sample("unsure", 2, "b", False, -0.1),
        sample("sure", 1, "c", False, -0.2),
        sample("cut off", 1, "d", False, -0.1, cut=True),
        sample("not compared", 1, "e", None, -0.1),
    ]  # fmt: skip
    assert [(one["example_id"], one["text"]) for one in unconfirmed(samples)] == [("sure", "c"), ("unsure", "a")]


def test_the_page_lists_what_the_model_could_not_confirm(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    ids = warehouses.fill(warehouse)
    page = tmp_path / "report.html"

    def text() -> str:
        write_report(warehouse, ids["paser"], page, str, lambda labels, read: {})
        return page.read_text("utf-8")

    assert 'id="targets"' not in text()
    ledger = warehouse.read("selection", ids["paser"]).to_pylist()
    first, second, third = [row["example_id"] for row in ledger if row["kept"]][:3]
    samples = [sample(first, 1, EVIL, False, -0.5), sample(second, 1, "right", True, -0.5),
               sample(third, 1, "another", False, -0.1)]  # fmt: skip
    made = warehouses.make(
        warehouse, "targets", {"selection": ids["paser"]}, {"accept": "reference"}, {"part": (samples, TARGETS)},
        asked=3, solved=1, mean_samples=1.5, model="m",
    )  # fmt: skip
    written = text()
    assert made in written
    assert "1 have a target, 1 by" in written
    assert EVIL not in written
    assert "&lt;script&gt;alert(1)" in written
    shown = targets(warehouse, read_contents(warehouse, ids["paser"]))
    assert shown is not None
    assert [row["id"] for row in shown["suspects"]] == [third, first]
    place = warehouses.IDS.index(third)
    assert (shown["suspects"][0]["given"], shown["suspects"][0]["answer"]) == (f"It is {2 * place}.", "another")
    publish(warehouse)
    forget(warehouse, third)
    assert "another" not in text().partition('id="targets"')[2].partition("</section>")[0]
