"""Head removal: groups without an effect go, importance is what a loop over heads finds, the folder is ordinary."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
import torch
import transformers
from consumers import transformers_folder
from references.compress import WORDS, save_tiny, tiny_model
from references.width import SIZES, token_rows
from transformers import AutoModelForCausalLM

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.calibration import Calibrated
from curate.engines.compress.heads.groups import head_groups
from curate.engines.compress.heads.removal import remove_heads
from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.compress.masks import NMPattern
from curate.schemas.corpus import Turn
from curate.schemas.errors import GateError, InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = token_rows()
ON_CPU = Calibrated(ROWS, torch.device("cpu"), torch.float32)
DEAD = [1, 2, 0]
"""The group of each layer that has no effect."""


def model_of(**changes: Any) -> Any:
    sizes = {**SIZES, "hidden_size": 24, "num_attention_heads": 6, "num_key_value_heads": 3, **changes}
    return tiny_model(transformers.LlamaConfig(**sizes))


def planted() -> Any:
    """Return a model with one group per layer whose keys and values are large and whose outputs lead nowhere."""
    model = model_of()
    for layer, group in zip(head_groups(model), DEAD, strict=True):
        for projection in layer.into[1:]:
            projection.matrix[group * 4 : (group + 1) * 4] *= 50
        layer.out.matrix[:, group * 8 : (group + 1) * 8] = 0
    return model


def test_groups_without_an_effect_are_removed() -> None:
    model = planted()
    before = model(ROWS[2]).logits
    report = remove_heads(model, ON_CPU, n_groups=1)
    assert report["groups_removed"] == [[group] for group in DEAD]
    assert [scores[group] for scores, group in zip(report["group_importance"], DEAD, strict=True)] == [0.0] * 3
    torch.testing.assert_close(model(ROWS[2]).logits, before, rtol=1e-5, atol=1e-5)
    numbers = (report["heads_before"], report["heads_after"], model.config.num_attention_heads, model.config.head_dim)
    assert numbers == (6, 4, 4, 4)


def test_importance_is_the_norm_of_what_the_heads_add() -> None:
    model = model_of()
    layers = head_groups(model)
    seen: list[list[torch.Tensor]] = [[] for _ in layers]
    for layer, into in zip(layers, seen, strict=True):
        layer.out.module.register_forward_pre_hook(lambda _, args, into=into: into.append(args[0][0].double()))
    with torch.no_grad():
        for row in ROWS:
            model(row)
    expected = []
    for layer, parts in zip(layers, seen, strict=True):
        outputs, weights = torch.cat(parts), layer.out.matrix.double()
        heads = [slice(4 * q, 4 * q + 4) for q in range(6)]
        added = [float((outputs[:, head] @ weights[:, head].T).norm()) for head in heads]
        expected.append([added[0] + added[1], added[2] + added[3], added[4] + added[5]])
    report = remove_heads(model_of(), ON_CPU, n_groups=2)
    for scores, reference in zip(report["group_importance"], expected, strict=True):
        assert scores == pytest.approx(reference, rel=1e-5)
    lowest = [sorted(sorted(range(3), key=scores.__getitem__)[:2]) for scores in expected]
    assert report["groups_removed"] == lowest


def test_the_folder_is_ordinary_smaller_and_the_same_again(tmp_path: Path) -> None:
    calibration = [[Turn("user", " ".join(WORDS[i : i + 5])), Turn("assistant", WORDS[i + 3])] for i in range(12)]
    save_tiny(planted(), tmp_path / "whole")
    for name in ("fewer", "again"):
        request = CompressionRequest("heads", n_groups=1)
        report = compress(tmp_path / "whole", tmp_path / name, request, calibration=calibration)
    ids = [1, 4, 7, 9, 12, 2]
    (loaded,) = transformers_folder.load([tmp_path / "fewer"], ids)
    assert [loaded["config"][key] for key in ("num_attention_heads", "num_key_value_heads", "head_dim")] == [4, 2, 4]
    with torch.no_grad():
        whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(torch.tensor(loaded["logits"]), whole, rtol=1e-5, atol=1e-5)
    # layers × (query and output rows, key and value rows) × hidden
    assert report["parameters_before"] - report["parameters_after"] == 3 * (2 * 8 + 2 * 4) * 24
    for file in ("model.safetensors", "config.json", "compression.json"):
        digests = {hashlib.sha256((tmp_path / name / file).read_bytes()).digest() for name in ("fewer", "again")}
        assert len(digests) == 1, file


@pytest.mark.parametrize("n_groups", [3, 4])
def test_one_group_stays(n_groups: int) -> None:
    with pytest.raises(UsageError, match=f"cannot remove {n_groups} of 3 groups of heads"):
        remove_heads(model_of(), ON_CPU, n_groups=n_groups)


def test_numbers_that_the_configuration_rejects_are_told_with_those_that_it_accepts() -> None:
    # Llama's configuration wants a hidden size that is a multiple of the number of heads, whatever head_dim is.
    model = model_of(num_key_value_heads=6)
    with pytest.raises(UsageError, match=r"hidden size \(24\) is not a multiple .* \(5\)\); remove 2, 3, 4, 5 instead"):
        remove_heads(model, ON_CPU, n_groups=1)
    assert (model.config.num_attention_heads, model.config.num_key_value_heads) == (6, 6)


def test_a_model_with_a_pattern_is_refused() -> None:
    model = model_of()
    prune_magnitude(model, pattern=NMPattern(2, 4))
    with pytest.raises(GateError, match="2:4 sparse, and removing or reordering heads would break"):
        remove_heads(model, ON_CPU, n_groups=1)


def test_outputs_that_are_not_finite_are_an_error() -> None:
    model = model_of()
    head_groups(model)[1].into[2].matrix.fill_(3e38)
    with pytest.raises(InputError, match="gives the heads of layer 1 outputs that are NaN or infinite"):
        remove_heads(model, ON_CPU, n_groups=1)


@pytest.mark.parametrize(
    ("method", "how", "message"),
    [
        ("heads", {}, "number of groups None is not positive"),
        ("heads", {"n_groups": 0}, "number of groups 0 is not positive"),
        ("heads", {"n_groups": 1, "sparsity": 0.5}, "takes no sparsity"),
        ("width", {"sparsity": 0.5, "n_groups": 1}, "'width' removes no heads"),
        ("blocks", {"n_blocks": 1, "n_experts": 1}, "'blocks' removes no experts"),
    ],
)
def test_requests_that_make_no_sense_are_refused(method: Any, how: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CompressionRequest(method, **how)
