"""Importance of channels against loops over single channels."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from references.width import activations_of, random_model, token_rows

from curate.engines.compress.moments import second_moments
from curate.engines.compress.width.channels import Channels, mlp_channels
from curate.engines.compress.width.importance import RIDGE, by_importance, importance
from curate.schemas.errors import InputError

ON_CPU = (torch.device("cpu"), torch.float32)


def norm(vector: torch.Tensor) -> float:
    return math.sqrt(sum(float(value) ** 2 for value in vector))


def loop(order: str, mlp: Channels, activations: torch.Tensor) -> list[float]:
    energy = [norm(activations[:, j]) for j in range(mlp.count)]
    outgoing = [norm(mlp.out.matrix[:, j]) for j in range(mlp.count)]
    if order == "energy":
        return energy
    if order == "wanda":
        return [one * other for one, other in zip(energy, outgoing, strict=True)]
    rows = [norm(torch.cat([p.matrix[j :: mlp.count].flatten() for p in mlp.into])) for j in range(mlp.count)]
    return [math.hypot(one, other) for one, other in zip(rows, outgoing, strict=True)]


@pytest.mark.parametrize("name", ["llama", "phi3", "gpt2", "opt"])
@pytest.mark.parametrize("order", ["wanda", "energy", "magnitude"])
def test_importance_matches_the_loop(name: str, order: str) -> None:
    model = random_model(name)
    channels = mlp_channels(model)
    seen = activations_of(model, channels, token_rows())
    moments = second_moments(
        model, [mlp.out for mlp in channels], token_rows(), full=False, device=ON_CPU[0], dtype=ON_CPU[1]
    )
    for mlp, activations, second in zip(channels, seen, moments, strict=True):
        scores = importance(order, mlp, second, seed=0)  # type: ignore[arg-type]
        assert scores.tolist() == pytest.approx(loop(order, mlp, activations), rel=1e-5)


def test_moments_are_those_of_whole_forward_passes() -> None:
    model = random_model("gemma3")
    channels = mlp_channels(model)
    seen = activations_of(model, channels, token_rows())
    moments = list(
        second_moments(model, [mlp.out for mlp in channels], token_rows(), full=True, device=ON_CPU[0], dtype=ON_CPU[1])
    )
    for activations, second in zip(seen, moments, strict=True):
        torch.testing.assert_close(second, (activations.T @ activations).double(), rtol=1e-4, atol=1e-6)


def test_moments_do_not_depend_on_what_is_cut_while_they_are_measured() -> None:
    model, untouched = random_model("llama"), random_model("llama")
    channels = mlp_channels(model)
    measure = partial(second_moments, rows=token_rows(), full=False, device=ON_CPU[0], dtype=ON_CPU[1])
    whole = list(measure(untouched, [mlp.out for mlp in mlp_channels(untouched)]))
    moments = measure(model, [mlp.out for mlp in channels])
    for mlp, second, expected in zip(channels, moments, whole, strict=True):
        assert torch.equal(second, expected)
        mlp.keep(torch.arange(8))


def test_ridge_leverage_matches_its_definition() -> None:
    mlp = mlp_channels(random_model("llama"))[0]
    activations = torch.randn(200, mlp.count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    second = activations.T @ activations
    ridge = RIDGE * float(second.diagonal().mean())
    inverse = torch.linalg.inv(second + ridge * torch.eye(mlp.count, dtype=torch.float64))
    expected = [float((second @ inverse)[j, j]) for j in range(mlp.count)]
    assert importance("ridge", mlp, second, 0).tolist() == pytest.approx(expected, abs=1e-9)


def test_random_depends_on_the_seed_and_the_layer_only() -> None:
    first, second = mlp_channels(random_model("llama"))[:2]
    assert torch.equal(importance("random", first, None, 1), importance("random", first, None, 1))
    assert not torch.equal(importance("random", first, None, 1), importance("random", first, None, 2))
    assert not torch.equal(importance("random", first, None, 1), importance("random", second, None, 1))


def test_ties_go_to_the_lower_index() -> None:
    assert by_importance(torch.tensor([1.0, 2.0, 1.0, 2.0])).tolist() == [1, 3, 0, 2]


def test_activations_that_are_no_numbers_are_refused() -> None:
    mlp = mlp_channels(random_model("llama"))[1]
    with pytest.raises(InputError, match="layer 1 activations that are NaN"):
        importance("wanda", mlp, torch.full((24,), math.nan, dtype=torch.float64), 0)
