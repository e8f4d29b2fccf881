"""Expert removal in five architectures: what is kept is exact, reloads, and reports what it could not keep."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model
from references.experts import MIXTURES, expert_rows
from references.width import random_model
from transformers import AutoModelForCausalLM

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.calibration import Calibrated
from curate.engines.compress.experts.removal import remove_experts
from curate.engines.diagnose.expert_usage import expert_usage
from curate.engines.models.expert_blocks import ExpertBlock, expert_blocks
from curate.schemas.corpus import Turn
from curate.schemas.errors import GateError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

EXACT = ["mixtral", "granite", "jetmoe", "olmoe normalised"]


def calibrated() -> Calibrated:
    return Calibrated(expert_rows(), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("name", MIXTURES)
def test_removing_is_masking_the_choice(name: str) -> None:
    """The reference masks the logits of the removed experts before they are chosen among."""
    model = tiny_model(MIXTURES[name]())
    whole = copy.deepcopy(model)
    report = remove_experts(model, calibrated(), amount=2)
    for block, removed, residual in zip(
        expert_blocks(whole), report["experts_removed"], report["residual"], strict=True
    ):
        assert (residual == 0.0) == (name in EXACT)
        mask(block, removed)
    if name in EXACT:
        torch.testing.assert_close(model(expert_rows()[1]).logits, whole(expert_rows()[1]).logits, rtol=1e-4, atol=1e-5)
    assert {block.count for block in expert_blocks(model)} == {4}


def mask(block: ExpertBlock, removed: list[int]) -> None:
    """Make the removed experts impossible to choose, in a model that is used as the reference."""
    owner = getattr(block.router, "layer", block.router)
    weight = owner.weight
    bias = torch.zeros(block.count)
    bias[removed] = -1e9
    original = torch.nn.functional.linear

    def linear(states: torch.Tensor, matrix: torch.Tensor, offset: torch.Tensor | None = None) -> torch.Tensor:
        return original(states, matrix, bias if matrix is weight else offset)

    # Routers call functional.linear; nn.Linear does too.
    masked_forward = block.router.forward

    def forward(*arguments: Any) -> Any:
        torch.nn.functional.linear = linear  # type: ignore[assignment]
        try:
            return masked_forward(*arguments)
        finally:
            torch.nn.functional.linear = original

    block.router.forward = forward


def test_gates_that_are_not_renormalised_are_corrected_and_told() -> None:
    whole = tiny_model(MIXTURES["olmoe"]())
    errors = []
    for scale in (True, False):
        model = copy.deepcopy(whole)
        report = remove_experts(model, calibrated(), amount=2)
        if not scale:
            for block, before in zip(expert_blocks(model), expert_blocks(whole), strict=True):
                kept = [index for index in range(6) if index not in report["experts_removed"][block.layer]]
                block.expert_tensors()[-1].data.copy_(before.expert_tensors()[-1].data[kept])
        errors.append(
            sum(float((model(row).logits - whole(row).logits).detach().square().sum()) for row in expert_rows())
        )
    assert errors[0] < errors[1]
    assert "does not renormalise" in report["warnings"][0]


def test_the_least_used_go_and_random_ones_depend_on_the_seed() -> None:
    model = tiny_model(MIXTURES["mixtral"]())
    usages = expert_usage(model, expert_rows(), torch.device("cpu"), torch.float32)
    report = remove_experts(copy.deepcopy(model), calibrated(), amount=0.34)
    for removed, usage in zip(report["experts_removed"], usages, strict=True):
        kept = [index for index in range(6) if index not in removed]
        assert max(usage.choices[removed]) <= min(usage.choices[kept])
    draws = [
        remove_experts(copy.deepcopy(model), calibrated(), amount=2, order="random", seed=seed)["experts_removed"]
        for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("name", MIXTURES)
def test_the_folder_is_ordinary(name: str, tmp_path: Path) -> None:
    source = save_tiny(tiny_model(MIXTURES[name]()), tmp_path / "source")
    turns = [[Turn("user", " ".join(WORDS[i : i + 5])), Turn("assistant", WORDS[i + 3])] for i in range(12)]
    request = CompressionRequest("experts", n_experts=2, dtype="float32")
    report = compress(source, tmp_path / "out", request, calibration=turns)
    model = tiny_model(MIXTURES[name]())
    remove_experts(model, Calibrated(_ids(report, source, turns), torch.device("cpu"), torch.float32), amount=2)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    # The same weights at other addresses may be multiplied in other blocks.
    torch.testing.assert_close(loaded(expert_rows()[0]).logits, model(expert_rows()[0]).logits)
    assert report["experts_after"] == 4


def _ids(report: dict[str, Any], source: Path, turns: list[list[Turn]]) -> list[torch.Tensor]:
    from curate.engines.models.tokenizers import load_tokenizer
    from curate.engines.tokens.templates import Template

    encoded = Template(load_tokenizer(source), "auto", 64).encode_many(turns)
    assert report["calibration_tokens"] == sum(len(one.ids) for one in encoded)
    return [torch.from_numpy(one.ids)[None] for one in encoded]


def test_too_few_experts_are_refused() -> None:
    with pytest.raises(UsageError, match="cannot remove 5 of 6 experts: each token uses 2, so at most 4 can go"):
        remove_experts(tiny_model(MIXTURES["mixtral"]()), calibrated(), amount=5)


def test_a_model_without_experts_is_refused() -> None:
    with pytest.raises(GateError, match="'llama' is dense, it has no experts"):
        remove_experts(random_model("llama"), calibrated(), amount=1)


def test_experts_that_cannot_be_run_alone_are_not_weighed() -> None:
    with pytest.raises(UsageError, match="one by one"):
        remove_experts(tiny_model(MIXTURES["jetmoe"]()), calibrated(), amount=1, order="weight")
