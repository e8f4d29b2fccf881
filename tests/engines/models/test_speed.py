"""The measured rate of a device is that of its own products, and leaves the threads as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from curate.engines.models import speed

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_rate_is_operations_by_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks: Iterator[float] = iter(range(100))
    shapes = []
    monkeypatch.setattr(speed, "_clock", lambda _: next(ticks) * 0.125)
    monkeypatch.setattr(speed, "_product", lambda left, right: shapes.append((*left.shape, *right.shape)))
    before = torch.get_num_threads()
    rate = speed.operations_per_second(8, 16, torch.device("cpu"), torch.float32, threads=2)
    # The clock is read after 0.125 and 0.25 s; one product lies between, and one warms up before.
    assert shapes == [(512, 8, 8, 16)] * 2
    assert rate == pytest.approx(2 * 512 * 8 * 16 * 1 / 0.25 * 2)
    assert torch.get_num_threads() == before


def test_a_real_rate_is_one_that_a_processor_reaches() -> None:
    rate = speed.operations_per_second(256, 512, torch.device("cpu"), torch.float32, threads=1)
    assert 1e8 < rate < 1e13
