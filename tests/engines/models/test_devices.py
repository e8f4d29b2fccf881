"""Devices and dtypes by name, and the devices of a model pair and of worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from models import save_llama
from scoring import conversations, scored

from curate.engines.models.devices import pair_devices, resolve_device, resolve_dtype, worker_devices
from curate.engines.models.loading import load_pair
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_one_device_serves_both_models_and_two_serve_one_each() -> None:
    cpu = torch.device("cpu")
    assert pair_devices("cpu") == pair_devices("cpu, cpu") == (cpu, cpu)
    for name, message in (("cpu,cpu,cpu", "names 3 devices"), ("cpu,nowhere", "'nowhere' is not known")):
        with pytest.raises(UsageError, match=message):
            pair_devices(name)


def test_devices_and_dtypes() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_dtype("auto", torch.device("cpu")) == torch.float32
    assert resolve_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(UsageError, match="is not known; give auto"):
        resolve_device("tpuu")
    with pytest.raises(UsageError, match="did you mean 'float16'"):
        resolve_dtype("flot16", torch.device("cpu"))
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="which has 0 CUDA devices"):
            resolve_device("cuda")


def test_a_missing_device_is_named() -> None:
    with pytest.raises(UsageError, match=r"cuda:99.* is not on this machine"):
        pair_devices("cpu,cuda:99")


def test_a_pair_on_two_devices_scores_as_on_one(tmp_path: Path) -> None:
    original, compressed = (str(save_llama(tmp_path / name, seed=seed)) for seed, name in enumerate("oc"))
    one, two = (load_pair(original, compressed, device=device) for device in ("cpu", "cpu,cpu"))
    assert scored(one, conversations()) == scored(two, conversations())


@pytest.mark.parametrize(
    ("count", "name", "workers", "devices"),
    [
        (0, "auto", None, ["cpu"]),
        (0, "auto", 2, ["cpu", "cpu"]),
        (4, "cpu", 3, ["cpu", "cpu", "cpu"]),
        (2, "auto", None, ["cuda:0", "cuda:1"]),
        (2, "cuda", 1, ["cuda:0"]),
        (4, "cuda", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        (4, "cuda:2", None, ["cuda:2"]),
        (4, "cuda:0,cuda:1", None, ["cuda:0,cuda:1"]),
        (4, "cuda:0,cuda:1", 1, ["cuda:0,cuda:1"]),
    ],
)
def test_each_worker_has_a_device(
    monkeypatch: pytest.MonkeyPatch, count: int, name: str, workers: int | None, devices: list[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    assert worker_devices(name, workers) == devices


@pytest.mark.parametrize(
    ("name", "workers", "message"),
    [("auto", 3, "3 workers need a CUDA device each and there are 2; give --workers 2"),
     ("cuda:1", 2, "'cuda:1' serves one worker, not 2"),
     ("cuda:0,cuda:1", 2, "serves one worker"),
     ("nowhere", 2, "'nowhere' is not known")],
)  # fmt: skip
def test_workers_without_a_device_are_rejected(
    monkeypatch: pytest.MonkeyPatch, name: str, workers: int, message: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    with pytest.raises(UsageError, match=message):
        worker_devices(name, workers)


@pytest.mark.gpu
def test_the_original_on_the_cpu_and_the_compressed_on_a_gpu(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    original, compressed = (str(save_llama(tmp_path / name, seed=seed)) for seed, name in enumerate("oc"))
    one, two = (load_pair(original, compressed, device=device, dtype="float32") for device in ("cpu", "cpu,cuda"))
    for row, other in zip(scored(one, conversations()), scored(two, conversations()), strict=True):
        assert row["cds"] == pytest.approx(other["cds"], abs=1e-4)
        assert row["nod"] == pytest.approx(other["nod"], rel=1e-3)
