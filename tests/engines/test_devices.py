"""Which devices a pair runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from models import save_llama
from scoring import conversations, scored

from curate.engines.devices import pair_devices
from curate.engines.models import load_pair
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_one_device_is_for_both_and_two_are_the_originals_and_the_compressed() -> None:
    cpu = torch.device("cpu")
    assert pair_devices("cpu") == pair_devices("cpu, cpu") == (cpu, cpu)
    for name, message in (("cpu,cpu,cpu", "names 3 devices"), ("cpu,nowhere", "'nowhere' is not one")):
        with pytest.raises(UsageError, match=message):
            pair_devices(name)


def test_a_device_that_is_not_here_is_named() -> None:
    with pytest.raises(UsageError, match=r"cuda:99.* is not on this machine"):
        pair_devices("cpu,cuda:99")


def test_a_pair_on_two_devices_scores_as_on_one(tmp_path: Path) -> None:
    original, compressed = (str(save_llama(tmp_path / name, seed=seed)) for seed, name in enumerate("oc"))
    one, two = (load_pair(original, compressed, device=device) for device in ("cpu", "cpu,cpu"))
    assert scored(one, conversations()) == scored(two, conversations())


@pytest.mark.gpu
def test_the_original_on_the_cpu_and_the_compressed_on_a_gpu(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    original, compressed = (str(save_llama(tmp_path / name, seed=seed)) for seed, name in enumerate("oc"))
    one, two = (load_pair(original, compressed, device=device, dtype="float32") for device in ("cpu", "cpu,cuda"))
    for row, other in zip(scored(one, conversations()), scored(two, conversations()), strict=True):
        assert row["cds"] == pytest.approx(other["cds"], abs=1e-4)
        assert row["nod"] == pytest.approx(other["nod"], rel=1e-3)
