"""Texts that name decoder layers."""

from __future__ import annotations

import pytest

from curate.schemas.errors import UsageError
from curate.schemas.layer_choice import automatic, named
from curate.schemas.recovery import RecoveryRequest


def test_numbers_and_ranges_are_read_once_and_in_order() -> None:
    assert named("7,3,5-6,6") == (3, 5, 6, 7)
    assert named("9-5") == ()
    assert (automatic("auto:4"), automatic("3"), automatic("all")) == (4, None, None)


@pytest.mark.parametrize("text", ["", "3,", "-1", "auto", "auto:0", "worst:2", "3;4", "all,2"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="neither all, numbers nor auto:N"):
        RecoveryRequest(layers=text)


def test_layers_and_reconstruction_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="reconstruction fits every layer"):
        RecoveryRequest(layers="1", reconstruct=True)


def test_requests_for_all_layers_keep_the_ids_from_before() -> None:
    assert "layers" not in RecoveryRequest().to_json()
    assert RecoveryRequest.from_json(RecoveryRequest(layers="auto:2").to_json()).layers == "auto:2"
