"""Pruning masks have exact counts and deterministic ties, compared with loops over single entries."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references.compress import group_loop, lowest_loop, row_loop

from curate.engines.compress.masks import (
    NMPattern,
    check_sparsity,
    drop_overall,
    drop_per_group,
    drop_per_row,
    parse_pattern,
)
from curate.schemas.errors import UsageError


def scores(seed: int, *shape: int, levels: int = 0) -> torch.Tensor:
    """Return random scores ≥ 0; with few distinct levels many of them are tied."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(*shape, generator=generator)
    return (values * levels).floor() / levels if levels else values


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([0, 1, 3]), share=st.floats(0, 1))
def test_drop_overall_drops_the_k_lowest_of_all_matrices(seed: int, levels: int, share: float) -> None:
    matrices = [scores(seed + i, 3 + i, 5, levels=levels) for i in range(3)]
    k = round(share * sum(m.numel() for m in matrices))
    fast = list(drop_overall([m.clone for m in matrices], k))
    for ours, slow in zip(fast, lowest_loop(matrices, k), strict=True):
        assert torch.equal(ours, slow)
    assert sum(int((~mask).sum()) for mask in fast) == k


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_drop_overall_in_other_number_formats(dtype: torch.dtype) -> None:
    matrix = torch.randn(40, 30, generator=torch.Generator().manual_seed(1)).to(dtype).abs()
    (mask,) = drop_overall([lambda: matrix], 500)
    assert torch.equal(mask, lowest_loop([matrix.float()], 500)[0])


def test_drop_overall_distinguishes_tiny_and_large_values() -> None:
    row = torch.tensor([[1e-45, 0.0, 3e38, 1.0, -0.0, 1e-38]])
    (mask,) = drop_overall([lambda: row], 4)
    assert mask.tolist() == [[False, False, True, True, False, False]]


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("k", [0, 1, 5, 12])
def test_drop_per_row(levels: int, k: int) -> None:
    values = scores(3, 7, 12, levels=levels)
    mask = drop_per_row(values, k)
    assert torch.equal(mask, row_loop(values, k))
    assert (~mask).sum(1).tolist() == [k] * 7


@pytest.mark.parametrize(("kept", "group"), [(2, 4), (1, 4), (4, 8), (1, 2)])
@pytest.mark.parametrize("levels", [0, 2])
def test_drop_per_group(kept: int, group: int, levels: int) -> None:
    values = scores(4, 5, 16, levels=levels)
    mask = drop_per_group(values, NMPattern(kept, group))
    assert torch.equal(mask, group_loop(values, kept, group))
    assert set(mask.reshape(-1, group).sum(1).tolist()) == {kept}


def test_patterns_are_parsed_and_printed() -> None:
    assert parse_pattern(" 2:4 ") == NMPattern(2, 4)
    assert str(parse_pattern("4:8")) == "4:8"


@pytest.mark.parametrize("text", ["4:2", "4:4", "0:4", "2", "a:b", "2:4:8", "-1:4", ""])
def test_invalid_patterns_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not N:M with"):
        parse_pattern(text)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_invalid_sparsities_are_refused(value: float) -> None:
    with pytest.raises(UsageError, match="is not between 0 and 1"):
        check_sparsity(value)
