"""What a nightly run shows in Prefect's interface can be read on another machine, by people."""

from __future__ import annotations

from pathlib import Path

from curate.flows.deployments.artifacts import markdown, readable

CHOSEN = {
    "selection_id": "ab12", "n_kept": 1200, "n_examples": 52000, "n_tokens_kept": None, "method": "paser",
    "budget": "0.1", "reasons": {"budget": 50800, "selected": 1200}, "warnings": ["small corpus"],
}  # fmt: skip


def test_the_summary_names_counts_reasons_warnings_and_the_report() -> None:
    text = markdown(CHOSEN, Path("/w/reports/ab12.html"), None)
    assert "1,200 of 52,000 examples kept; method paser, budget 0.1." in text
    assert text.index("| selected | 1,200 |") < text.index("| budget | 50,800 |")
    assert "> small corpus" in text
    assert "`/w/reports/ab12.html` on the worker" in text
    assert "[The whole report](http://host/ab12.html)" in markdown(CHOSEN, Path("x"), "http://host/ab12.html")


def test_the_table_of_clusters_has_no_raw_floats() -> None:
    row = {"cluster": 3, "degradation": 0.123456789, "terms": ["a", "b"], "ceiling": None, "budget": 1234567.4}
    assert readable(row) == {"cluster": 3, "degradation": "0.123", "terms": "a, b", "budget": "1,234,567"}
