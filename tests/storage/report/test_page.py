"""The report's page: complete, self-contained, accessible, and safe for any text of the corpus."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import warehouses

from curate.schemas.corpus import EXAMPLES, SOURCES
from curate.schemas.selection import ALLOCATION, LEDGER
from curate.storage.catalog.publish import publish
from curate.storage.maintenance.forgotten import forget
from curate.storage.report import samples
from curate.storage.report.contents import read_contents
from curate.storage.report.page import hue, page, render, write_report
from curate.storage.report.points import drawn_rows, within_unit
from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
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


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Warehouse, dict[str, str]]:
    warehouse = Warehouse(tmp_path / "w")
    return warehouse, warehouses.fill(warehouse)


def written(warehouse: Warehouse, selection: str, path: Path) -> tuple[str, Page, dict[str, Any]]:
    write_report(warehouse, selection, path, meaning)
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
        assert all(one["role"] == "img" and one["aria-label"] for one in parsed.with_tag(tag))
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
    kept = np.frombuffer(base64.b64decode(data["map"]["kept"]), dtype=np.uint8)
    assert kept.tolist() == [int(row["kept"]) for row in ledger]
    assert np.frombuffer(base64.b64decode(data["map"]["cluster"]), dtype="<u2").tolist() == [
        row["cluster"] for row in ledger
    ]
    by_id = {row["example_id"]: row for row in ledger}
    assert len(data["rows"]) == len(ledger)
    for example_id, rank, reason, cluster, *_ in data["rows"]:
        row = by_id[example_id]
        assert (rank, reason, cluster) == (row["rank"], row["reason"], row["cluster"])
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
    assert (data["map"], data["plane"]) == (None, None)
    assert not parsed.with_tag("canvas")
    assert {str(one["href"]) for one in parsed.with_tag("a")} == {
        "#main", "#reasons", "#samples", "#rows", "#lineage",
    }  # fmt: skip


def test_deleted_upstream_artefacts_are_left_out(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    warehouse, ids = filled
    for noun in ("scores", "clusters"):
        (warehouse.folder(noun, ids[noun]) / "manifest.json").unlink()
    _, parsed, data = written(warehouse, ids["paser"], tmp_path / "report.html")
    assert (data["map"], data["plane"]) == (None, None)
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
    assert data["rows"][0][5] == samples.shortened(EVIL + "0", samples.IN_TABLE)


def test_the_text_of_forgotten_rows_is_not_shown(filled: tuple[Warehouse, dict[str, str]], tmp_path: Path) -> None:
    warehouse, ids = filled
    publish(warehouse)
    shown, hidden = "What is 59 plus 59?", warehouses.IDS[59]
    text, _, before = written(warehouse, ids["paser"], tmp_path / "report.html")
    assert shown in text
    forget(warehouse, hidden)
    text, _, data = written(warehouse, ids["paser"], tmp_path / "report.html")
    assert shown not in text
    assert len(data["rows"]) == len(before["rows"]) - 1
    assert "6 of 60 examples kept" in text


def test_sample_groups_and_table_rows(filled: tuple[Warehouse, dict[str, str]]) -> None:
    warehouse, ids = filled
    contents = read_contents(warehouse, ids["paser"])
    sample_groups = {title: rows for title, _, rows in samples.sample_groups(contents)}
    assert sample_groups["Highest rank"] == [54, 55, 56]
    assert sample_groups["Lowest rank"] == [59, 58, 57]
    assert sample_groups["Most damaged"] == [59, 58, 57]
    assert sample_groups["Least damaged"] == [0, 1, 2]
    assert sample_groups["Not kept: conflict"] == [1]
    listed = samples.table_rows(contents)
    assert len(set(listed)) == len(listed) == 60
    assert listed[:6] == [54, 55, 56, 57, 58, 59]


def test_a_large_ledger_is_shown_in_part(
    filled: tuple[Warehouse, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse, ids = filled
    monkeypatch.setattr(samples, "TABLE_KEPT", 2)
    monkeypatch.setattr(samples, "TABLE_LEFT", 7)
    contents = read_contents(warehouse, ids["paser"])
    listed = samples.table_rows(contents)
    assert listed[:2] == [54, 55]
    assert listed[2] == 1, "the rarest reason is never crowded out"
    assert len(listed) == 9
    assert drawn_rows(60_000).tolist() == list(range(60_000))
    assert len(drawn_rows(130_000)) == 43_334


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
    values = page(warehouse, read_contents(warehouse, ids["paser"]), meaning)
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
