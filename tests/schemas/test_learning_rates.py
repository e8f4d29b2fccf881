"""Default learning rates of the recovery methods."""

from __future__ import annotations

import pytest

from curate.schemas.learning_rates import default_rate, lora_rate
from curate.schemas.recovery import RATES_BY_WIDTH, RECOVERY_METHODS, RecoveryRequest


@pytest.mark.parametrize(
    ("width", "rate"), [(128, 4.3e-3), (576, 1.3e-3), (2000, 5e-4), (2048, 4.9e-4), (4096, 2.9e-4)]
)
def test_narrow_models_have_higher_rates(width: int, rate: float) -> None:
    assert lora_rate(width) == rate


@pytest.mark.parametrize(("width", "rate"), [(576, 1.3e-4), (4096, 2.9e-5), (0, 1e-5)])
def test_all_weights_have_a_tenth_of_the_rate_of_lora(width: int, rate: float) -> None:
    assert default_rate("full", width) == rate


@pytest.mark.parametrize("method", RECOVERY_METHODS)
def test_every_method_has_a_rate(method: str) -> None:
    by_width = method in ("lora", "mask_lora", "full")
    assert (default_rate(method, 128) != default_rate(method, 4096)) is by_width
    assert 0 < default_rate(method, 0) <= 1e-4


def test_a_rate_by_width_is_another_artefact_than_the_old_default() -> None:
    assert RecoveryRequest().to_json()[RATES_BY_WIDTH] is True
    assert RecoveryRequest(method="full").to_json()[RATES_BY_WIDTH] is True
    assert RATES_BY_WIDTH not in RecoveryRequest(method="perp").to_json()
    assert RATES_BY_WIDTH not in RecoveryRequest(learning_rate=1e-4).to_json()


@pytest.mark.parametrize(("rows", "epochs", "expected"), [(76, 2, 8), (752, 2, 15), (3200, 2, 64), (52_000, 2, 64)])
def test_a_small_selection_has_small_steps(rows: int, epochs: float, expected: int) -> None:
    assert RecoveryRequest(epochs=epochs).step_rows(rows) == expected
    assert RecoveryRequest(epochs=epochs, batch=32).step_rows(rows) == 32
