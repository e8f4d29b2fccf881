"""Measures of layers: a planted layer that does nothing is last in each, and loops give the same values."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from references.compress import influence_loop
from references.width import random_model, token_rows

from curate.engines.diagnose.layer_metrics import angle, change, influence, loss_without
from curate.engines.diagnose.layer_paths import LayerPaths
from curate.engines.models.projections import decoder_layers


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_influence_is_that_of_the_loop(name: str) -> None:
    model = random_model(name)
    expected = influence_loop(model, decoder_layers(model)[1], [row for row in token_rows() if row.shape[1] > 1])
    assert influence(LayerPaths(model, token_rows())) == pytest.approx(expected, abs=1e-6)


def tokens_of(paths: LayerPaths, first: int, last: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return every token's hidden state before layer `first` and before layer `last`, in float64."""
    rows = zip(paths.states[first], paths.states[last], strict=True)
    return [pair for old, new in rows for pair in zip(old[0].double(), new[0].double(), strict=True)]


def test_change_is_that_of_the_loop() -> None:
    paths = LayerPaths(random_model("llama"), token_rows())
    for layer, value in enumerate(change(paths)):
        ratios = [float((new - old).norm() / old.norm()) for old, new in tokens_of(paths, layer, layer + 1)]
        assert value == pytest.approx(sum(ratios) / len(ratios))


def test_the_angle_of_two_layers_is_that_of_the_loop() -> None:
    paths = LayerPaths(random_model("llama"), token_rows())
    assert len(angle(paths, 2)) == 2
    for first, value in enumerate(angle(paths, 2)):
        pairs = tokens_of(paths, first, first + 2)
        angles = [math.acos(float(old @ new / old.norm() / new.norm())) / math.pi for old, new in pairs]
        assert value == pytest.approx(sum(angles) / len(angles))


def test_a_layer_that_does_nothing_is_last_in_every_measure() -> None:
    model = random_model("llama")
    idle: Any = decoder_layers(model)[1][1]
    for projection in (idle.self_attn.o_proj, idle.mlp.down_proj):
        projection.weight.data.zero_()
    paths = LayerPaths(model, token_rows())
    for values in (influence(paths), change(paths), angle(paths), loss_without(paths)):
        assert values[1] == pytest.approx(0.0, abs=1e-6)
        assert min(abs(values[0]), abs(values[2])) > 1e-3


def test_progress_counts_layers() -> None:
    seen: list[tuple[int, int]] = []
    loss_without(LayerPaths(random_model("llama"), token_rows()), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_losses_are_the_difference_to_the_whole_model() -> None:
    paths = LayerPaths(random_model("gpt2"), token_rows())
    assert loss_without(paths)[2] == pytest.approx(paths.loss({2}) - paths.loss())
    assert torch.isfinite(torch.tensor(loss_without(paths))).all()
