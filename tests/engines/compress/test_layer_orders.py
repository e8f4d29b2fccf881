"""Orders of layers: each against a search over whole losses, and through `compress`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, save_tiny
from references.width import random_model, token_rows
from transformers import AutoModelForCausalLM

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.layer_orders import choose_layers, lowest
from curate.engines.diagnose.layer_metrics import angle, change
from curate.engines.diagnose.layer_paths import LayerPaths
from curate.schemas.corpus import Turn
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

CALIBRATION = [[Turn("user", " ".join(WORDS[i : i + 5])), Turn("assistant", WORDS[i + 3])] for i in range(12)]


@pytest.fixture
def paths() -> LayerPaths:
    return LayerPaths(random_model("llama", seed=3), token_rows())


def test_one_layer_by_leave_one_out_or_greedy_is_the_best_single_removal(paths: LayerPaths) -> None:
    best = min(range(3), key=lambda index: paths.loss({index}))
    assert choose_layers("leave-one-out", paths, 1).removed == [best]
    assert choose_layers("greedy", paths, 1).removed == [best]


def test_greedy_measures_again_after_each_removal(paths: LayerPaths) -> None:
    choice = choose_layers("greedy", paths, 2)
    first = min(range(3), key=lambda index: paths.loss({index}))
    second = min({0, 1, 2} - {first}, key=lambda index: paths.loss({first, index}))
    assert choice.removed == sorted([first, second])
    rises = [paths.loss(removed) - paths.loss() for removed in ({first}, {first, second})]
    assert choice.values == pytest.approx(rises)


def test_change_removes_the_layers_that_change_least(paths: LayerPaths) -> None:
    values = change(paths)
    assert choose_layers("change", paths, 2).removed == lowest(values, 2)


def test_contiguous_removes_the_run_with_the_smallest_angle(paths: LayerPaths) -> None:
    angles = angle(paths, 2)
    start = angles.index(min(angles))
    assert choose_layers("contiguous", paths, 2).removed == [start, start + 1]


def test_greedy_reports_every_loss_it_measures(paths: LayerPaths) -> None:
    seen: list[tuple[int, int]] = []
    choose_layers("greedy", paths, 2, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("by", ["change", "leave-one-out", "greedy", "contiguous"])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_the_folder_is_the_model_without_these_layers(by: Any, stored: torch.dtype, tmp_path: Path) -> None:
    source = save_tiny(random_model("llama", seed=5).to(stored), tmp_path / "source")
    request = CompressionRequest("blocks", n_blocks=1, by=by, dtype="float32")
    report = compress(source, tmp_path / "out", request, calibration=CALIBRATION)
    (removed,) = report["layers_removed"]
    assert report["by"] == by
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == 2
    whole, shorter = (AutoModelForCausalLM.from_pretrained(tmp_path / name) for name in ("source", "out"))
    kept = [layer for index, layer in enumerate(whole.model.layers) if index != removed]
    for ours, theirs in zip(shorter.model.layers, kept, strict=True):
        assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(UsageError, match="layers by 'gredy' is not known, did you mean 'greedy'"):
        CompressionRequest("blocks", n_blocks=1, by="gredy")  # type: ignore[arg-type]
