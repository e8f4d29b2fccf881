"""The stability report: its variations, the adjusted Rand index of labels, and the overlap of selections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Run


def test_labels_are_compared_over_seeds_numbers_and_precision(curate: Run, corpus: Path) -> None:
    report = curate("cluster", "--corpus", corpus, "--clusters", 3, "--stability", "--json").value
    rows = {row["variation"]: row for row in report["variations"]}
    assert list(rows) == ["seed 1", "seed 2", "1 clusters", "2 clusters", "4 clusters", "5 clusters",
                          "encoder in bfloat16"]  # fmt: skip
    assert rows["1 clusters"]["ari"] == 0
    assert rows["encoder in bfloat16"]["n_clusters"] == report["n_clusters"] == 3
    assert all(-0.5 <= row["ari"] <= 1 and row["selection_jaccard"] is None for row in rows.values())
    assert report["scores"] is None


@pytest.mark.slow
def test_selections_are_compared_if_there_are_scores(
    curate: Run, corpus: Path, tiny: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ("--original", tiny[0], "--compressed", tiny[1])
    kept = curate("select", "--method", "paser", "--corpus", corpus, *pair, "--clusters", 3, "--json").value
    monkeypatch.setenv("CURATE_SELECT__METHOD", "paser")
    report = curate("cluster", "--corpus", corpus, "--clusters", 3, "--stability", "--json").value
    assert report["clusters"] == kept["inputs"]["clusters"]
    assert report["method"] == "paser"
    assert all(0 <= row["selection_jaccard"] <= 1 for row in report["variations"])
    same = [row for row in report["variations"] if row["ari"] == 1]
    assert all(row["selection_jaccard"] == 1 for row in same)
    assert "overlap of selections" in curate("cluster", "--corpus", corpus, "--clusters", 3, "--stability").out
    # Other labels have no pilots, so the budget cannot be divided by recoverability.
    monkeypatch.setenv("CURATE_SELECT__OPTIONS", '{"allocation": "recoverability"}')
    report = curate("cluster", "--corpus", corpus, "--clusters", 3, "--stability", "--json").value
    assert all(row["selection_jaccard"] is None for row in report["variations"])
