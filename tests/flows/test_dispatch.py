"""Where a command runs: here, or as a Prefect flow run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import corpora

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    Run = Callable[..., Any]


def test_no_server_at_the_address(curate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpora.write_corpus(tmp_path / "rows.jsonl", rows=10)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    answer = curate("select", "--method", "uniform", "--corpus", corpus)
    assert answer.code == 1
    assert answer.err.strip().splitlines()[-1] == (
        "curate: no Prefect server answers at PREFECT_API_URL=http://127.0.0.1:9/api; start it with "
        "`prefect server start`, or unset PREFECT_API_URL to run here"
    )
