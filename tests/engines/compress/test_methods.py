"""Magnitude, Wanda and layer removal on tiny random models, compared with plain loops and whole forward passes."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from references.compress import (
    group_loop,
    influence_loop,
    linears,
    lowest_loop,
    skipping_logits,
    tiny_model,
    wanda_loop,
)

from curate.engines.compress.layer_removal import block_influence, least_influential, remove_blocks
from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.compress.masks import NMPattern
from curate.engines.compress.wanda import prune_wanda
from curate.engines.models.projections import decoder_layers, find_projections
from curate.schemas.errors import InputError, UsageError

SIZES: dict[str, Any] = {
    "vocab_size": 31,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
WINDOW: dict[str, Any] = {**SIZES, "head_dim": 4, "sliding_window": 4}


def llama() -> transformers.PretrainedConfig:
    return transformers.LlamaConfig(**SIZES)


def gpt2() -> transformers.PretrainedConfig:
    return transformers.GPT2Config(
        vocab_size=31, n_embd=16, n_layer=4, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2
    )


def qwen2() -> transformers.PretrainedConfig:
    return transformers.Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=2)


def gemma3() -> transformers.PretrainedConfig:
    kinds = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    return transformers.Gemma3TextConfig(**WINDOW, layer_types=kinds)


def mixture() -> transformers.PretrainedConfig:
    return transformers.Qwen3MoeConfig(
        **SIZES, moe_intermediate_size=8, num_experts=4, num_experts_per_tok=2, mlp_only_layers=[0, 2]
    )


DENSE = [llama, gpt2, qwen2, gemma3]
Config = Callable[[], transformers.PretrainedConfig]
MARKER = {llama: "layers.", gpt2: ".h.", qwen2: "layers.", gemma3: "layers."}
ON_CPU: dict[str, Any] = {"device": torch.device("cpu"), "dtype": torch.float32}


def rows() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(3, 31, (1, length), generator=generator) for length in (5, 1, 17, 9)]


def outside(model: transformers.PreTrainedModel, marker: str) -> dict[str, torch.Tensor]:
    """Return everything but the decoder's linear weights: it must never change."""
    inside = {f"{name}.weight" for name in linears(model, marker)}
    return {name: value.clone() for name, value in model.state_dict().items() if name not in inside}


@pytest.mark.parametrize("config", DENSE)
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_magnitude_matches_the_loop(config: Config, scope: Any) -> None:
    model = tiny_model(config())
    marker = MARKER[config]
    untouched = outside(model, marker)
    dense = {name: weight.clone() for name, weight in linears(model, marker).items()}
    magnitudes = [weight.abs() for weight in dense.values()]
    if scope == "global":
        masks = lowest_loop(magnitudes, round(0.3 * sum(m.numel() for m in magnitudes)))
    else:
        masks = [lowest_loop([m], round(0.3 * m.numel()))[0] for m in magnitudes]
    prune_magnitude(model, sparsity=0.3, scope=scope)
    for (name, weight), mask in zip(dense.items(), masks, strict=True):
        assert torch.equal(linears(model, marker)[name], weight * mask), name
    after = outside(model, marker)
    assert all(torch.equal(value, after[name]) for name, value in untouched.items())


@pytest.mark.parametrize("config", [llama, gpt2])
def test_magnitude_patterns_match_the_loop(config: Config) -> None:
    model = tiny_model(config())
    dense = {name: weight.clone() for name, weight in linears(model, MARKER[config]).items()}
    prune_magnitude(model, pattern=NMPattern(2, 4))
    for name, weight in linears(model, MARKER[config]).items():
        assert torch.equal(weight, dense[name] * group_loop(dense[name].abs(), 2, 4)), name


def test_ties_drop_the_lower_indices() -> None:
    model = tiny_model(llama())
    for projection in find_projections(model):
        projection.matrix.fill_(0.5)
    prune_magnitude(model, sparsity=0.25)
    first = find_projections(model)[0].matrix.flatten()
    assert (first[: len(first) // 4] == 0).all()
    assert (first[len(first) // 4 :] == 0.5).all()


@pytest.mark.parametrize("config", DENSE)
@pytest.mark.parametrize(("sparsity", "nm"), [(0.5, None), (None, (2, 4))])
def test_wanda_matches_the_loop(config: Config, sparsity: float | None, nm: tuple[int, int] | None) -> None:
    slow = tiny_model(config())
    fast = copy.deepcopy(slow)
    wanda_loop(slow, MARKER[config], rows(), sparsity, nm)
    prune_wanda(fast, rows(), sparsity=sparsity, pattern=NMPattern(*nm) if nm else None, **ON_CPU)
    for name, value in slow.state_dict().items():
        assert torch.equal(value, fast.state_dict()[name]), name


def test_wanda_differs_from_magnitude_and_from_one_shot() -> None:
    dense = tiny_model(llama())
    by_magnitude, by_wanda = copy.deepcopy(dense), copy.deepcopy(dense)
    prune_magnitude(by_magnitude, sparsity=0.5)
    prune_wanda(by_wanda, rows(), sparsity=0.5, **ON_CPU)
    last = [find_projections(m)[-1].matrix != 0 for m in (by_magnitude, by_wanda)]
    assert not torch.equal(*last)


def test_wanda_does_not_round_the_weights_it_keeps() -> None:
    half = tiny_model(llama()).bfloat16()
    dense = {name: weight.clone() for name, weight in linears(half, "layers.").items()}
    prune_wanda(half, rows(), sparsity=0.5, **ON_CPU)
    for name, weight in linears(half, "layers.").items():
        assert torch.equal(weight[weight != 0], dense[name][weight != 0])
        assert int((weight == 0).sum()) == weight.shape[0] * round(0.5 * weight.shape[1])


def test_progress_counts_layers() -> None:
    seen: list[tuple[int, int]] = []
    prune_wanda(tiny_model(llama()), rows(), sparsity=0.5, progress=lambda done, n: seen.append((done, n)), **ON_CPU)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("config", [*DENSE, mixture])
def test_block_influence_matches_the_loop(config: Config) -> None:
    model = tiny_model(config())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ours = block_influence(model, rows(), **ON_CPU)
    assert ours == pytest.approx(influence_loop(model, decoder_layers(model)[1], rows()), abs=1e-9)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("config", [*DENSE, mixture])
@pytest.mark.parametrize("removed", [[0], [1, 2], [0, 3]])
def test_removing_layers_equals_skipping_them(config: Config, removed: list[int]) -> None:
    model = tiny_model(config())
    row = rows()[2]
    expected = skipping_logits(model, decoder_layers(model)[1], removed, row)
    remove_blocks(model, removed)
    with torch.no_grad():
        assert torch.equal(model(row, use_cache=False).logits, expected)
        # A cache with wrong layer numbers would fail here.
        generated = model.generate(row, max_new_tokens=3, do_sample=False)
    assert generated.shape[1] > row.shape[1]


def test_per_layer_settings_follow_their_layers() -> None:
    model = tiny_model(gemma3())
    remove_blocks(model, [1])
    assert model.config.layer_types == ["sliding_attention", "sliding_attention", "full_attention"]
    experts = tiny_model(mixture())
    remove_blocks(experts, [0])
    assert experts.config.mlp_only_layers == [1]


def test_least_influential_breaks_ties_by_index() -> None:
    assert least_influential([0.2, 0.1, 0.1, 0.1, 0.3], 2) == [1, 2]
    assert least_influential([0.2, 0.3, 0.1], 2) == [0, 2]


@pytest.mark.parametrize("n_blocks", [0, 3, 4])
def test_too_many_blocks_are_refused(n_blocks: int) -> None:
    with pytest.raises(UsageError, match="between 1 and 2"):
        least_influential([0.1, 0.2, 0.3], n_blocks)


def test_mixtures_of_experts_are_refused() -> None:
    with pytest.raises(InputError, match=r"layers\.1\.mlp\.experts\.gate_up_proj.*--method blocks"):
        prune_magnitude(tiny_model(mixture()), sparsity=0.5)


def test_a_pattern_that_does_not_divide_the_width_is_refused() -> None:
    config = transformers.LlamaConfig(**{**SIZES, "intermediate_size": 22})
    with pytest.raises(InputError, match=r"2:4 does not fit model\.layers\.0\.mlp\.down_proj: its 22 inputs"):
        prune_magnitude(tiny_model(config), pattern=NMPattern(2, 4))


def test_non_finite_weights_are_refused() -> None:
    model = tiny_model(llama())
    find_projections(model)[5].matrix[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"model\.layers\.0\.mlp\.up_proj\.weight holds NaN"):
        prune_magnitude(model, sparsity=0.5)


def test_calibration_overflow_is_an_error() -> None:
    model = tiny_model(llama())
    find_projections(model)[4].matrix.fill_(3e38)
    with pytest.raises(InputError, match=r"calibration gives model\.layers\.0\.mlp\.down_proj no usable input"):
        prune_wanda(model, rows(), sparsity=0.5, **ON_CPU)
    with pytest.raises(InputError, match=r"decoder layer model\.layers\.\d gives NaN"):
        block_influence(model, rows(), **ON_CPU)
