"""The compiled kernel agrees with the eager one, which is used where nothing can be compiled."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from references.scoring import divergence_loop

from curate.engines.score import kernels
from curate.engines.score.memory import MIN_COMPILED_VOCABULARY
from curate.engines.score.signals import TokenSignals, token_signals

NAMES = ("nll", "entropy", "el2n", "divergence", "nll_reference", "delta")


def logits(rows: int = 5, vocabulary: int = 90, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits of two models, including likely, unlikely and impossible tokens, and targets."""
    draw = torch.Generator().manual_seed(rows)
    own = torch.randn(rows, vocabulary, generator=draw) * scale
    other = own + torch.randn(rows, vocabulary, generator=draw)
    own[1, 3], other[1, 3] = 200.0, -200.0
    own[2, 5:9] = float("-inf")
    return own, other, torch.arange(rows) + 1


def assert_same(result: TokenSignals, expected: TokenSignals) -> None:
    for name in NAMES:
        one, other = getattr(result, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if other is not None:
            assert torch.allclose(one, other, rtol=1e-5, atol=2e-6), name


@pytest.mark.parametrize("pair", [True, False])
def test_the_fused_kernel_agrees_with_the_eager_one(pair: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other, targets = logits()
    expected = token_signals(own.clone(), targets, other if pair else None)
    monkeypatch.setattr(kernels, "_compiled", lambda paired: kernels.paired if paired else kernels.single)
    given = own.clone()
    result = kernels.compiled_signals(given, targets, other if pair else None)
    assert result.delta is given
    assert_same(result, expected)
    if pair:
        assert result.divergence is not None
        expected_divergence = [divergence_loop(other[row], own[row]) for row in range(len(own))]
        assert result.divergence.tolist() == pytest.approx(expected_divergence, abs=1e-6)


def test_small_vocabularies_are_not_compiled() -> None:
    device = torch.device("cpu")
    assert kernels.token_kernel("auto", MIN_COMPILED_VOCABULARY - 1, device, True, 1) == (token_signals, "eager")
    assert kernels.token_kernel("eager", 1 << 20, device, True, 1) == (token_signals, "eager")


@pytest.mark.slow
def test_compiled_code_agrees_for_every_shape() -> None:
    kernel, name = kernels.token_kernel("compiled", 90, torch.device("cpu"), True, torch.get_num_threads())
    if name != "compiled":
        pytest.skip("nothing can be compiled here: there is no C++ compiler")
    with torch.inference_mode():
        for rows, vocabulary in ((3, 90), (8, 257), (4, 8192), (8, 32_000)):
            own, other, targets = logits(rows, vocabulary)
            assert_same(kernel(own.clone(), targets, other), token_signals(own.clone(), targets, other))


@pytest.mark.slow
def test_without_a_compiler_the_eager_kernel_is_used_silently(tmp_path) -> None:
    code = (
        "import torch\n"
        "from curate.engines.score.kernels import token_kernel\n"
        "print(token_kernel('compiled', 90, torch.device('cpu'), True, 1)[1])"
    )
    no_compiler = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    process = subprocess.run([sys.executable, "-c", code], env=os.environ | no_compiler, capture_output=True, text=True)
    assert (process.returncode, process.stdout.strip(), process.stderr) == (0, "eager", "")
