"""docs/demo.md states what the shipped model and pool are measured to be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from documents import ROOT

from curate.flows import demo
from curate.flows.demo import corpus
from curate.flows.demo.report import BEGIN, END, exact_match, fault_shares, measure, rewrite
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = ROOT / "docs" / "demo.md"


def test_shares_of_planted_faults() -> None:
    rows = corpus.pool()
    _, noise, duplicates, contradictions = fault_shares()["all"]
    assert 0.10 <= noise <= 0.20
    assert 0.05 <= duplicates <= 0.10
    assert 0.02 <= contradictions / 2 <= 0.05  # both halves of a pair are marked
    # Noise alone reaches the promised share, without the wrong halves of the contradictions.
    assert sum(row.label_noise and not row.contradiction for row in rows) / len(rows) >= 0.10


def test_the_shipped_model_answers_most_capabilities() -> None:
    shares = exact_match(demo.model_path(), per_capability=12)
    assert sum(share >= 0.6 for _, share in shares.values()) >= 6, shares


@pytest.mark.slow
def test_compression_damages_capabilities_unevenly_as_documented() -> None:
    lines = measure()
    losses = [line.loss for line in lines if line.dense >= 0.6]
    assert len(losses) >= 6
    assert min(losses) < 0.10
    assert max(losses) > 0.50
    measured = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    for line in lines:
        stated = re.search(rf"^\| {line.capability} \|.*$", measured, re.MULTILINE)
        assert stated, line.capability
        dense, compressed = (float(cell) for cell in stated[0].split("|")[6:8])
        # Another processor may round a tie between two tokens the other way.
        assert abs(dense - line.dense) <= 0.03
        assert abs(compressed - line.compressed) <= 0.03


def test_the_document_states_the_faults_of_the_shipped_pool() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, (n, *shares) in fault_shares().items():
        assert f"| {name} | {n:,} | {' | '.join(f'{share:.1%}' for share in shares)} |" in text


def test_rewrite_replaces_only_the_text_between_the_markers(tmp_path: Path) -> None:
    document = tmp_path / "demo.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    rewrite(document, "new")
    assert document.read_text() == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    document.write_text("no markers")
    with pytest.raises(InputError, match="no pair of lines"):
        rewrite(document, "new")
