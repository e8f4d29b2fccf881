"""The report's page: complete, self-contained, accessible, and safe for any text of the corpus."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import report_rows
import warehouses

from curate.schemas.corpus import EXAMPLES, SOURCES
from curate.schemas.selection import ALLOCATION, LEDGER
from curate.storage.catalog.publish import publish
from curate.storage.maintenance.forgotten import forget
from curate.storage.report import page as page_module
from curate.storage.report import rows as drawing
from curate.storage.report import samples
from curate.storage.report.contents import read_contents
from curate.storage.report.page import hue, page, render, write_report
from curate.storage.report.points import within_unit
from curate.storage.report.rows import DAMAGE_STEPS, drawn_rows
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVIL = "</script><script>document.title='pwned'</script><img src=x onerror=alert(1)> & “quotes” <!-- "
VOID = {"meta", "input", "img", "br", "path", "line", "i"}


class Page(HTMLParser):
    """Collects elements with their attributes, and text by element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, str] = {}
        self.feed(text)
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID - {"i"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text[self.open[-1] if self.open else ""] = self.text.get(self.open[-1] if self.open else "", "") + data

    def with_tag(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def meaning(reason: str) -> str:
    return f"what {reason} means"


def naming(labels: Any, read: Callable[[Any], list[str]]) -> dict[int, list[str]]:
    """Name each label by its first prompt; the real names are tested with `telling_phrases`."""
    return {int(k): read(np.flatnonzero(labels == k)[:1]) for k in np.unique(labels)}


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Warehouse, dict[str, str]]:
    warehouse = Warehouse(tmp_path / "w")
    return warehouse, warehouses.fill(warehouse)


def written(warehouse: Warehouse, selection: str, path: Path) -> tuple[str, Page, dict[str, Any]]:
    write_report(warehouse, selection, path, meaning, naming)
    text = path.read_text("utf-8")
    parsed = Page(text)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data
    return text, parsed, json.loads(data[1])


def test_the_page_is_complete_and_loads_nothing(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    warehouse, ids = filled
    text, parsed, _ = written(warehouse, ids["paser"], tmp_path / "new" / "report.html")
    assert "default-src 'none'" in text
    assert not parsed.with_tag("link")
    assert not [one for one in parsed.with_tag("script") if "src" in one]
    assert not re.search(r"https?://|@import|url\(", text)
    anchors = {str(one["href"])[1:] for one in parsed.with_tag("a")}
    names = [str(attributes["id"]) for _, attributes in parsed.elements if "id" in attributes]
    assert anchors <= set(names)
    assert len(names) == len(set(names))
    for wanted in ("map", "clusters", "plane", "scores", "reasons", "samples", "rows", "lineage"):
        assert wanted in anchors


def test_it_works_with_a_screen_reader(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    warehouse, ids = filled
    _, parsed, _ = written(warehouse, ids["paser"], tmp_path / "report.html")
    assert parsed.with_tag("html")[0]["lang"] == "en"
    assert len(parsed.with_tag("h1")) == 1
    for tag in ("canvas", "svg"):
        assert all(one["aria-label"] and one["role"] in ("img", "application") for one in parsed.with_tag(tag))
    # What has the role of an application takes keys, so it must be reachable by the keyboard.
    assert [one["tabindex"] for _, one in parsed.elements if one.get("role") == "application"] == ["0"]
    assert all(one.get("scope") in ("col", "row") for one in parsed.with_tag("th"))
    assert len(parsed.with_tag("caption")) == len(parsed.with_tag("table"))
    labelled = [
        tag for tag, one in parsed.elements if tag == "section" and ("aria-labelledby" in one or "aria-label" in one)
    ]
    assert len(labelled) == len(parsed.with_tag("section"))
    levels = [int(tag[1]) for tag, _ in parsed.elements if re.fullmatch(r"h\d", tag)]
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_numbers_are_those_of_the_ledger(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    warehouse, ids = filled
    text, parsed, data = written(warehouse, ids["paser"], tmp_path / "report.html")
    ledger = warehouse.read("selection", ids["paser"]).to_pylist()
    by_id = {row["example_id"]: row for row in ledger}
    rows = report_rows.rows_of(data)
    assert [row["id"] for row in rows] == sorted(by_id)
    for row in rows:
        entry, i = by_id[row["id"]], warehouses.IDS.index(row["id"])
        assert (row["kept"], row["reason"], row["cluster"]) == (entry["kept"], entry["reason"], entry["cluster"])
        assert row["damage"] == round(DAMAGE_STEPS * min(1, i / 100 / data["rows"]["damage"]["most"]))
        assert row["map"] == pytest.approx((i / 59, 1 - i / 59), abs=1e-3)
        example = warehouses.example(i)
        assert row["text"]["rank"] == entry["rank"]
        assert (row["text"]["prompt"], row["text"]["response"]) == (example["prompt"], example["response"])
        assert dict(zip(data["texts"]["signals"], row["text"]["signals"], strict=True))["cds"] == i / 100
    assert "6 of 60 examples kept" in parsed.text["h1"]
    assert "what conflict means" in text
    assert "Preferred: <code>" + warehouses.IDS[-1] in text
    assert "small corpus" in text  # the selection's warning
    for licence in ("MIT", "not stated"):
        assert licence in text


def test_a_selection_without_clusters_and_scores_has_the_other_sections(
    filled: tuple[Warehouse, dict[str, str]], tmp_path: Path
) -> None:
    warehouse, ids = filled
    _, parsed, data = written(warehouse, ids["uniform"], tmp_path / "report.html")
    assert (data["rows"]["layouts"], data["plane"]) == ([], None)
    assert len(report_rows.rows_of(data)) == 60
    assert not parsed.with_tag("canvas")
    assert {str(one["href"]) for one in parsed.with_tag("a")} == {
        "#main", "#reasons", "#samples", "#rows", "#lineage",
    }  # fmt: skip


def test_deleted_upstream_artefacts_are_left_out(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    warehouse, ids = filled
    for noun in ("scores", "clusters"):
        (warehouse.folder(noun, ids[noun]) / "manifest.json").unlink()
    _, parsed, data = written(warehouse, ids["paser"], tmp_path / "report.html")
    assert (data["rows"]["layouts"], data["plane"]) == ([], None)
    assert not parsed.with_tag("figure")


def test_markup_in_the_corpus_stays_text(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "w")
    rows = []
    for i in range(4):
        row = warehouses.example(i)
        row["prompt"] = EVIL + str(i)
        row["messages"] = [{"role": "user", "content": EVIL + str(i), "tool_call": False}, *row["messages"][1:]]
        rows.append(row)
    sources = [{"example_id": row["example_id"], "source": EVIL, "row": 1, "licence": EVIL} for row in rows]
    corpus = warehouses.make(
        warehouse, "corpus", {"0:x": "0" * 16}, {}, {"part": (rows, EXAMPLES), "sources": (sources, SOURCES)},
        n_examples=4, n_read=4, n_duplicates=0, n_quarantined=0,
    )  # fmt: skip
    ledger = [
        {"selection_id": "s", "example_id": row["example_id"], "kept": i == 0, "reason": "selected" if i == 0 else EVIL,
         "rank": 1 if i == 0 else None}
        for i, row in enumerate(rows)
    ]  # fmt: skip
    tables = {"part": (ledger, LEDGER), "allocation": ([], ALLOCATION)}
    chosen = warehouses.make(
        warehouse, "selection", {"corpus": corpus}, {"method": EVIL, "budget": EVIL}, tables,
        n_kept=1, n_tokens_kept=None, warnings=[EVIL],
    )  # fmt: skip
    text, parsed, data = written(warehouse, chosen, tmp_path / "report.html")
    assert len(parsed.with_tag("script")) == 2
    assert not parsed.with_tag("img")
    assert "onerror=alert(1)>" not in text
    assert EVIL + "0" in [row["text"]["prompt"] for row in report_rows.rows_of(data)]


def test_the_text_of_forgotten_rows_is_not_shown(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    warehouse, ids = filled
    publish(warehouse)
    shown, hidden = "What is 59 plus 59?", warehouses.IDS[59]
    text, _, before = written(warehouse, ids["paser"], tmp_path / "report.html")
    assert shown in text
    forget(warehouse, hidden)
    text, _, data = written(warehouse, ids["paser"], tmp_path / "report.html")
    assert shown not in text
    was, now = report_rows.rows_of(before), report_rows.rows_of(data)
    assert {row["id"] for row in was} - {row["id"] for row in now} == {hidden}
    assert any(row["text"]["prompt"].startswith(shown) for row in was)
    assert not any(row["text"]["prompt"].startswith(shown) for row in now)
    assert "6 of 60 examples kept" in text


def test_sample_groups_and_order_of_texts(filled: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = filled
    contents = read_contents(warehouse, ids["paser"])
    sample_groups = {title: rows for title, _, rows in samples.sample_groups(contents)}
    assert sample_groups["Highest rank"] == [54, 55, 56]
    assert sample_groups["Lowest rank"] == [59, 58, 57]
    assert sample_groups["Most damaged"] == [59, 58, 57]
    assert sample_groups["Least damaged"] == [0, 1, 2]
    assert sample_groups["Not kept: conflict"] == [1]
    first = samples.text_order(contents, drawn_rows(contents))
    assert sorted(first) == list(range(60))
    assert [row for row in first if row >= 54] == [54, 55, 56, 57, 58, 59]
    assert 1 in first[:8], "the rarest reason is never crowded out"


def test_a_page_has_no_more_than_its_limit(
    filled: tuple[Warehouse, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, ids = filled
    whole, _, _ = written(warehouse, ids["paser"], tmp_path / "whole.html")
    limit = len(whole.encode()) - 600
    monkeypatch.setattr(page_module, "LIMIT", limit)
    text, _, data = written(warehouse, ids["paser"], tmp_path / "report.html")
    with_text = [row for row in report_rows.rows_of(data) if row["text"]]
    assert limit - 400 < len(text.encode()) <= limit
    assert 0 < len(with_text) == data["texts"]["n"] < 60


def test_a_large_corpus_is_drawn_in_part(
    filled: tuple[Warehouse, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, ids = filled
    contents = read_contents(warehouse, ids["paser"])
    monkeypatch.setattr(drawing, "POINTS", 20)
    monkeypatch.setattr(drawing, "FIRST", 2)
    rows = sorted(drawn_rows(contents).tolist())
    assert len(rows) == 20
    assert {54, 55} <= set(rows)
    assert max(np.diff(rows)) <= 4, "the others are spread over the corpus"


def test_clusters_are_named_with_example_rows_beside(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    warehouse, ids = filled
    text, parsed, data = written(warehouse, ids["paser"], tmp_path / "report.html")
    assert data["clusters"] == {str(k): warehouses.example(k)["prompt"] for k in range(3)}
    assert len(parsed.with_tag("li")) >= 9
    examples = samples.typical_rows(read_contents(warehouse, ids["paser"]))
    assert {k: len(rows) for k, rows in examples.items()} == {0: 3, 1: 3, 2: 3}
    assert all(row % 3 == k for k, rows in examples.items() for row in rows)
    table = re.search(r'<section id="clusters".*?</section>', text, re.DOTALL)
    assert table
    assert not re.search(r">[^<]*\d\.\d{4,}", table[0]), "a number is shown with all its digits"
    assert "0.300</span>" in table[0]


def test_coordinates_fill_the_square_and_keep_discs_round() -> None:
    places = np.random.default_rng(0).normal(size=(500, 2)) * [3.0, 1.0] + 7
    square, filled_square = within_unit(places), within_unit(places, 0.01, square=False)
    assert square.min() == 0.0
    assert np.ptp(square[:, 1]) < 0.6
    ratio = np.ptp(square, axis=0) / np.ptp(places, axis=0)
    assert ratio[0] == pytest.approx(ratio[1])
    assert np.ptp(filled_square, axis=0).tolist() == [1.0, 1.0]
    assert within_unit(np.ones((3, 2))).tolist() == [[0.5, 0.5]] * 3


def test_hues_in_the_page_and_in_the_script_agree(filled: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = filled
    values = page(warehouse, read_contents(warehouse, ids["paser"]), meaning, naming)
    assert "(cluster * 137.508) % 360" in values["script"]
    assert [hue(k) for k in (0, 1, 7)] == [0.0, 137.5, 242.6]
    assert "--hue: 137.5" in render(values)


def test_pictures_are_drawn_on_the_same_contents(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason='matplotlib is not installed; pip install "curate-llm[viz]"')
    from matplotlib.image import imread

    from curate.storage.report.pictures import draw_pictures

    warehouse, ids = filled
    drawn = draw_pictures(warehouse, ids["paser"], tmp_path / "report.html")
    assert [path.name for path in drawn] == ["report-clusters.png", "report-plane.png", "report-scores.png"]
    for path in drawn:
        assert imread(path)[..., :3].std() > 0.02, f"{path.name} is blank"
    assert draw_pictures(warehouse, ids["uniform"], tmp_path / "other.html") == []
