"""Width pruning: planted channels go, compensation is the least-squares solution, refusals."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from references.width import activations_of, random_model, token_rows

from curate.engines.compress.calibration import Calibrated
from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.compress.masks import NMPattern
from curate.engines.compress.width.channels import mlp_channels
from curate.engines.compress.width.compensation import RIDGE, compensated
from curate.engines.compress.width.cut import kept_channels, kept_energy, narrow
from curate.schemas.errors import GateError, UsageError

ROWS = token_rows()
ON_CPU = Calibrated(ROWS, torch.device("cpu"), torch.float32)


def planted() -> tuple[Any, list[torch.Tensor]]:
    """Return a model a quarter of whose channels have large weights into them and none out of them, and these."""
    model = random_model("llama")
    dead = []
    for mlp in mlp_channels(model):
        index = torch.randperm(24, generator=torch.Generator().manual_seed(mlp.layer))[:6].sort().values
        for projection in mlp.into:
            projection.matrix[index] *= 50
        mlp.out.matrix[:, index] = 0
        dead.append(index)
    return model, dead


def test_channels_without_an_effect_are_what_wanda_removes() -> None:
    model, _ = planted()
    before = model(ROWS[2]).logits
    report = narrow(model, ON_CPU, sparsity=0.25, multiple=1)
    torch.testing.assert_close(model(ROWS[2]).logits, before, rtol=1e-5, atol=1e-5)
    assert report["kept_energy"] == [1.0] * 3
    assert (report["widths_before"], report["widths_after"], model.config.intermediate_size) == (24, 18, 18)


@pytest.mark.parametrize("order", ["magnitude", "energy", "random"])
def test_orders_that_do_not_see_the_outgoing_weights_keep_them(order: Any) -> None:
    model, _ = planted()
    before = model(ROWS[2]).logits
    narrow(model, ON_CPU, sparsity=0.25, multiple=1, order=order)
    assert (model(ROWS[2]).logits - before).abs().max() > 1e-2


def test_kept_channels_stay_in_ascending_order() -> None:
    model, dead = planted()
    weights = [mlp.out.matrix.clone() for mlp in mlp_channels(model)]
    narrow(model, ON_CPU, sparsity=0.25, multiple=1)
    for mlp, before, index in zip(mlp_channels(model), weights, dead, strict=True):
        kept = [j for j in range(24) if j not in index.tolist()]
        assert torch.equal(mlp.out.matrix, before[:, kept])


def test_compensation_solves_the_least_squares_problem() -> None:
    draw = torch.Generator().manual_seed(0)
    activations = torch.randn(500, 12, dtype=torch.float64, generator=draw) @ torch.randn(
        12, 12, dtype=torch.float64, generator=draw
    )
    outgoing = torch.randn(5, 12, dtype=torch.float64, generator=draw)
    second, kept = activations.T @ activations, torch.tensor([0, 2, 3, 7, 8, 11])
    ridge = RIDGE * second.diagonal().mean()
    # The same problem as an ordinary regression with √λ-weighted rows that pull towards the old weights.
    design = torch.cat([activations[:, kept], ridge.sqrt() * torch.eye(6, dtype=torch.float64)])
    target = torch.cat([activations @ outgoing.T, ridge.sqrt() * outgoing[:, kept].T])
    expected = torch.linalg.lstsq(design, target).solution.T
    torch.testing.assert_close(compensated(outgoing, second, kept), expected, rtol=1e-8, atol=1e-8)


def test_compensation_lowers_the_error_of_each_layer_on_the_calibration_rows() -> None:
    rows = [torch.randint(3, 31, (1, 60), generator=torch.Generator().manual_seed(i)) for i in range(4)]
    calibrated = Calibrated(rows, torch.device("cpu"), torch.float32)
    whole = random_model("llama")
    channels = mlp_channels(whole)
    activations = activations_of(whole, channels, rows)
    outputs = [a @ mlp.out.matrix.T for a, mlp in zip(activations, channels, strict=True)]
    errors: dict[bool, list[float]] = {}
    for compensate in (False, True):
        model = copy.deepcopy(whole)
        narrow(model, calibrated, sparsity=0.5, multiple=1, compensate=compensate)
        narrowed = mlp_channels(model)
        errors[compensate] = []
        for layer, (mlp, target) in enumerate(zip(narrowed, outputs, strict=True)):
            rows_into = narrowed[layer].into[0].matrix
            source = channels[layer].into[0].matrix
            kept = [int((source == row).all(1).nonzero()) for row in rows_into]
            errors[compensate].append(float((activations[layer][:, kept] @ mlp.out.matrix.T - target).square().sum()))
    assert all(after < before for before, after in zip(errors[False], errors[True], strict=True))


def test_compensation_with_few_tokens_is_refused() -> None:
    with pytest.raises(GateError, match=r"12 channels a layer to 32 calibration tokens and needs 120"):
        narrow(random_model("llama"), ON_CPU, sparsity=0.5, multiple=1, compensate=True)


def test_ridge_with_fewer_tokens_than_channels_is_refused() -> None:
    few = Calibrated(ROWS[:2], torch.device("cpu"), torch.float32)
    with pytest.raises(GateError, match=r"more calibration tokens than the 24 channels of a layer, not 6"):
        narrow(random_model("llama"), few, sparsity=0.5, order="ridge")


def test_a_model_with_a_pattern_is_refused() -> None:
    model = random_model("llama")
    prune_magnitude(model, pattern=NMPattern(2, 4))
    with pytest.raises(GateError, match="2:4 sparse"):
        narrow(model, ON_CPU, sparsity=0.5)


def test_unstructured_zeros_are_kept() -> None:
    model = random_model("llama")
    prune_magnitude(model, sparsity=0.5)
    narrow(model, ON_CPU, sparsity=0.5)
    assert all(float((mlp.out.matrix == 0).float().mean()) > 0.2 for mlp in mlp_channels(model))


@pytest.mark.parametrize(
    ("count", "sparsity", "multiple", "kept"), [(1536, 0.25, 8, 1152), (1536, 0.15, 64, 1280), (24, 0.9, 8, 8)]
)
def test_the_number_kept_is_the_nearest_multiple(count: int, sparsity: float, multiple: int, kept: int) -> None:
    assert kept_channels(count, sparsity, multiple) == kept


def test_removing_nothing_is_an_error() -> None:
    with pytest.raises(UsageError, match="removing 0.1 of 24 channels in multiples of 8 removes none"):
        kept_channels(24, 0.1, 8)


def test_kept_energy_of_zeros_is_all() -> None:
    assert kept_energy(torch.zeros(4), torch.arange(2)) == 1.0
    assert kept_energy(torch.tensor([3.0, 4.0]), torch.tensor([1])) == pytest.approx(16 / 25)
