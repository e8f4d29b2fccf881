"""docs/results.md describes the demo that ships, and its script writes the pages in docs/results/."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT

from curate.flows import demo
from curate.flows.demo.report import BEGIN, END

PAGE = ROOT / "docs" / "results.md"
TABLES = ROOT / "docs" / "results"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_is_the_one_that_was_frozen() -> None:
    digests = dict(re.findall(r"^\| (\S+) \| `([0-9a-f]{16})` \|$", PAGE.read_text(), re.MULTILINE))
    assert set(digests) == {"pool.jsonl.gz", "heldout.jsonl.gz", "truth.parquet", "model/model.safetensors"}
    for name, digest in digests.items():
        content = (demo.data_path() / name).read_bytes()
        assert hashlib.blake2b(content).hexdigest()[:16] == digest, f"{name} changed: LOG.md needs both results"


def test_the_primary_comparison_is_the_one_that_is_run(script: Any) -> None:
    text = " ".join(PAGE.read_text().split())
    assert "`paser` with default settings against `uniform`, 10 % of the corpus, the model pruned by 60 %" in text
    assert script.METHODS.split(",")[0] == "paser"
    assert script.BUDGETS.split(",")[0] == "0.1"
    assert float(script.STRENGTHS.split(",")[0]) == 0.6 == demo.COMPRESSION["sparsity"]
    assert script.SEEDS >= 5


def test_the_grid_resolves_to_all_cells(script: Any) -> None:
    from curate.flows.comparison.grid import cells

    arguments = argparse.Namespace(
        warehouse=Path("w"), methods=script.METHODS, budgets=script.BUDGETS, seeds=script.SEEDS, own_epochs=True
    )
    settings = script.settings_for(arguments, Path("compressed"))
    assert len(cells(settings)) == 5 * (3 * 11 + 1)
    assert settings.recover.learning_rate == 1e-3


def test_a_reduced_grid_says_so(script: Any) -> None:
    whole = argparse.Namespace(
        strengths=script.STRENGTHS, budgets=script.BUDGETS, methods=script.METHODS, seeds=script.SEEDS
    )
    assert script.described(whole) == "The whole grid."
    whole.seeds = 2
    assert "reduced grid" in script.described(whole)
    assert "seeds 2 of 5" in script.described(whole)


def test_every_strength_has_a_page_with_a_place_for_its_tables(script: Any) -> None:
    for strength in script.STRENGTHS.split(","):
        page = script.page_of(TABLES, strength)
        text = page.read_text()
        assert text.count(BEGIN) == text.count(END) == 1
        assert page.with_suffix(".png").is_file()
        assert f"(results/{page.name})" in PAGE.read_text()


def test_the_glance_repeats_the_tables(script: Any) -> None:
    """Every difference of the findings page is that of the pages of tables, bold where the verdict is corrected."""
    columns = [(strength, budget) for strength in ("0.6", "0.7") for budget in ("0.05", "0.1", "0.2")]
    differences = {}
    for strength in script.STRENGTHS.split(","):
        for line in script.page_of(TABLES, strength).read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            if line.startswith("| `") and len(cells) == 12 and cells[-1] != "baseline":
                bold = "**" if cells[-1] in ("better", "worse") else ""
                method = cells[0].split("`")[1]
                differences[method, strength, cells[1]] = f"{bold}{cells[4].split()[0]}{bold}"
    rows = re.findall(r"^\| `([^`]+)`(?:, equal tokens)? \|((?: [*+-][^|]+\|){6})$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 10
    for method, cells in rows:
        shown = [cell.strip() for cell in cells.strip("|").split("|")]
        assert shown == [differences[method, strength, budget] for strength, budget in columns], method


def test_a_page_is_written_for_each_strength(script: Any, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.png"
    drawn.write_bytes(b"picture")
    interval = {"value": 0.5, "low": 0.4, "high": 0.6}
    line = {
        "method": "uniform", "budget": "0.1", "word": "baseline", "primary": False, "mean": interval,
        "worst": interval, "rows": 1, "tokens_trained": 2, "noise": None, "seconds_training": 1.0,
        "sentence": "uniform at 0.1 is the baseline.", "harmed": [], "retention": {"json": 0.5},
    }  # fmt: skip
    report = {
        "compressed": interval, "seeds": 5, "n_items": 3, "capabilities": ["json"], "left_out": [],
        "lines": [line], "retention_compressed": {"json": 0.3}, "files": [str(drawn)],
    }  # fmt: skip
    page = script.page_of(tmp_path, "0.6")
    text = script.markdown("0.6", report, script._picture_beside(page, report))
    assert page.with_suffix(".png").read_bytes() == b"picture"
    assert "(pruned-60.png)" in text
    assert text.index("| `uniform` |") < text.index("## Verdicts") < text.index("## By capability")
