"""What a run sets in its process before anything large is loaded."""

from __future__ import annotations

import os

import pytest

from curate.flows.session import limit_threads


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(
    given: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    limit_threads(None)
    assert os.environ["OMP_WAIT_POLICY"] == expected
