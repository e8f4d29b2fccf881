"""Pairs of tiny models with every kind of output head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from models import KINDS, save_model

if TYPE_CHECKING:
    from curate.engines.models.loading import Pair


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    from curate.engines.models.loading import load_pair

    folder = tmp_path_factory.mktemp(request.param)
    save_model(folder / "original", request.param)
    save_model(folder / "compressed", request.param, seed=1)
    return load_pair(str(folder / "original"), str(folder / "compressed"), device="cpu", dtype="float32")
