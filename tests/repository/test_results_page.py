"""docs/results.md is about the demo that ships, and the script that writes it can be trusted with a document."""

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

DOCUMENT = ROOT / "docs" / "results.md"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_is_the_one_that_was_frozen() -> None:
    named = dict(re.findall(r"^\| (\S+) \| `([0-9a-f]{16})` \|$", DOCUMENT.read_text(), re.MULTILINE))
    assert set(named) == {"pool.jsonl.gz", "heldout.jsonl.gz", "truth.parquet", "model/model.safetensors"}
    for name, digest in named.items():
        content = (demo.data_path() / name).read_bytes()
        assert hashlib.blake2b(content).hexdigest()[:16] == digest, f"{name} changed: LOG.md wants before and after"


def test_the_primary_comparison_is_the_one_that_is_run(script: Any) -> None:
    text = DOCUMENT.read_text().partition(BEGIN)[0]
    assert "`paser` as it is by default against `uniform`, 10 % of the corpus, the model pruned by 60 %" in text
    assert script.METHODS.split(",")[0] == "paser"
    assert script.BUDGETS.split(",")[0] == "0.1"
    assert float(script.STRENGTHS.split(",")[0]) == 0.6 == demo.COMPRESSION["sparsity"]
    assert script.SEEDS >= 5


def test_every_method_of_the_grid_is_known(script: Any) -> None:
    from curate.flows.comparison.grid import cells

    typed = argparse.Namespace(
        warehouse=Path("w"), methods=script.METHODS, budgets=script.BUDGETS, seeds=script.SEEDS, own_epochs=True
    )
    settings = script.settings_for(typed, Path("compressed"))
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


def test_the_document_has_a_place_for_the_table() -> None:
    assert DOCUMENT.read_text().count(BEGIN) == DOCUMENT.read_text().count(END) == 1
