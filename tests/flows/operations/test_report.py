"""`curate report` through the command line, and its page in a real browser."""

from __future__ import annotations

import html
import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browser
import numpy as np
import pytest
import warehouses

from curate.storage.warehouse.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., Any]

PHONE, DESKTOP = 390, 1280


@pytest.fixture
def filled(tmp_path: Path) -> dict[str, str]:
    return warehouses.fill(Warehouse(tmp_path / "w"))


def test_a_report_is_written_into_the_warehouse_or_to_the_given_path(
    curate: Run, filled: dict[str, str], tmp_path: Path
) -> None:
    where = ("-w", tmp_path / "w", "--json")
    result = curate("report", *where).value
    assert result["selection_id"] == filled["paser"]
    assert result["report"] == str(tmp_path / "w" / "reports" / f"{filled['paser']}.html")
    first = (tmp_path / "w" / "reports" / f"{filled['paser']}.html").read_bytes()
    curate("report", *where)
    assert (tmp_path / "w" / "reports" / f"{filled['paser']}.html").read_bytes() == first
    result = curate("report", filled["uniform"][:6], "--out", tmp_path / "new" / "mine.html", "--png", *where).value
    assert (tmp_path / "new" / "mine.html").exists()
    assert result["pictures"] == []  # no clusters, no scores, nothing to draw
    result = curate("report", "--out", tmp_path / "mine.html", "--png", *where).value
    assert [path.rpartition("/")[2] for path in result["pictures"]] == [
        "mine-clusters.png", "mine-plane.png", "mine-scores.png",
    ]  # fmt: skip


def test_errors_are_reported_in_one_sentence(
    curate: Run, filled: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("-w", tmp_path / "w")
    answer = curate("report", "nosuch", *where)
    assert (answer.code, "no selection" in answer.err) == (2, True)
    answer = curate("report", "--out", tmp_path, *where)
    assert (answer.code, "is a folder" in answer.err) == (2, True)
    monkeypatch.setattr("curate.flows.operations.report.find_spec", lambda _: None)
    answer = curate("report", "--png", *where)
    assert (answer.code, 'pip install "curate-llm[viz]"' in answer.err) == (1, True)
    monkeypatch.undo()
    part = next((tmp_path / "w" / "scores" / filled["scores"]).glob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-9])
    answer = curate("report", *where)
    assert (answer.code, "changed after it was written" in answer.err, answer.err.count("\n")) == (1, True, 1)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_in_a_browser(curate: Run, filled: dict[str, str], tmp_path: Path, width: int, dark: bool) -> None:
    browser.chromium()
    from matplotlib.image import imread

    report = tmp_path / "report.html"
    assert curate("report", "--out", report, "-w", tmp_path / "w").code == 0
    size = f"--window-size={max(width, 600)},2400"
    probe = browser.framed(report, tmp_path, width, 2400, probe=True)
    done = browser.probed(probe, tmp_path / "profile", size, dark=dark)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert complaints == []
    heard = re.search(r'<pre id="heard">(.*?)</pre>', done.stdout, re.DOTALL)
    assert heard
    result = json.loads(html.unescape(heard[1]))
    assert (result["wide"], result["scroll"]) == ([], width)
    assert len(result["kept"]) == 2
    assert min(result["kept"]) > 10, "a picture shows no kept row"
    assert (result["count"], result["searched"], result["rows"]) == ("60 rows found", "1 rows found", 1)
    # The map of this warehouse is a diagonal: row i is i/59 to the right and down.
    middle = next(i for i in (29, 30) if warehouses.IDS[i] in result["hovered"])
    example = warehouses.example(middle)
    assert all(shown in result["hovered"] for shown in (example["prompt"], example["response"], "budget", "DON"))
    assert result["tip"].endswith(example["prompt"])
    assert set(result["lasso"].split()) == {"--pin", *warehouses.IDS[:30]}
    assert result["keyed"] == f"--exclude {warehouses.IDS[middle + 1]}"
    assert result["saved"] == f"{warehouses.IDS[middle + 1]}\n"
    # Without a reader's click Chromium refuses to copy; the page then says so.
    refused, copied = "This browser does not let the page copy: press Ctrl-C.", ["Copied.", result["keyed"]]
    assert result["copied"] in ([refused], copied)
    assert warehouses.IDS[middle + 1] in result["card"]

    shot = tmp_path / "shot.png"
    look = browser.framed(report, tmp_path, width, 2400)
    browser.run(look, tmp_path / "profile2", f"--screenshot={shot}", size, dark=dark)
    pixels = imread(shot)[:, :width, :3]
    brightness = np.median(pixels)
    assert pixels.std() > 0.05, "the page is blank"
    assert brightness < 0.2 if dark else brightness > 0.9


@pytest.mark.parametrize("verb", [("report", "--out"), ("sql", "SELECT 1", "--parquet")])
def test_special_files_are_refused_as_output(
    curate: Run, filled: dict[str, str], tmp_path: Path, verb: tuple[str, ...]
) -> None:
    curate("catalog", "rebuild", "-w", tmp_path / "w")
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/null"), tmp_path / "pipe"):
        answer = curate(*verb, path, "-w", tmp_path / "w")
        assert answer.code == 2
        assert f"{verb[-1]} {path} is not a regular file" in answer.err
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
