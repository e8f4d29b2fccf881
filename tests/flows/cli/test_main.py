"""The command line's entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]


@pytest.mark.parametrize("more", [[], ["--json"], ["list"], ["list", "--json"]])
def test_named_without_a_value_lists_the_queries(curate: Run, tmp_path: Path, more: list[str]) -> None:
    result = curate("sql", "-w", tmp_path, "--named", *more)
    assert result.code == 0, result.err
    assert "degraded_clusters" in result.out
