"""Parsing of budgets and their size in rows or tokens."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.schemas.budget import parse_budget
from curate.schemas.errors import InputError, UsageError


@pytest.mark.parametrize(
    ("text", "n_examples", "n_quarantined", "rows"),
    [("0.1", 51_974, 28, 5200), ("10%", 51_974, 28, 5200), ("0.1", 45, 0, 5), ("0.1", 44, 0, 4), ("1", 9, 0, 1),
     ("1.0", 9, 0, 9), ("100%", 9, 4, 9), ("0.9", 9, 4, 9), ("7", 9, 0, 7), (".5", 4, 0, 2)],
)  # fmt: skip
def test_rows(text: str, n_examples: int, n_quarantined: int, rows: int) -> None:
    assert parse_budget(text).resolve(n_examples, 0, n_quarantined) == rows


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("200-tokens", 200), ("2k-tokens", 2000), ("1.5K tokens", 1500), ("2M-tokens", 2_000_000), ("1 token", 1)],
)
def test_tokens(text: str, tokens: int) -> None:
    budget = parse_budget(text)
    assert budget.in_tokens
    assert budget.resolve(1, 10**9) == tokens


@pytest.mark.parametrize(
    "text", ["0", "0.0", "0%", "-3", "-0.1", "1.5", "101%", "abc", "", "nan", "1e3", "0-tokens", "0.5-tokens"]
)
def test_invalid_budgets(text: str) -> None:
    with pytest.raises(UsageError, match="give a share such as 0.1 or 10%"):
        parse_budget(text)


def test_budgets_that_do_not_fit_the_corpus() -> None:
    with pytest.raises(UsageError, match="larger than the corpus, which has 9 examples; give less"):
        parse_budget("10").resolve(9, 0, 100)
    with pytest.raises(UsageError, match="larger than the corpus, which has 99 tokens"):
        parse_budget("100-tokens").resolve(9, 99)
    with pytest.raises(InputError, match="of 4 examples rounds to 0 rows"):
        parse_budget("0.1").resolve(4, 0)


@given(st.integers(1, 10_000), st.integers(1, 500), st.integers(0, 500))
def test_a_share_is_within_half_a_row_and_the_corpus(ten_thousandths: int, n_examples: int, n_quarantined: int) -> None:
    budget = parse_budget(f"{Decimal(ten_thousandths) / 10_000:f}" if ten_thousandths < 10_000 else "1.0")
    exact = ten_thousandths / 10_000 * (n_examples + n_quarantined)
    if exact >= 0.5:
        rows = budget.resolve(n_examples, 0, n_quarantined)
        assert rows == n_examples or abs(rows - exact) <= 0.5
        assert 1 <= rows <= n_examples


def test_a_budget_is_written_as_it_is_read() -> None:
    for text in ("0.1", "5000", "2000-tokens"):
        assert str(parse_budget(text)) == text
    assert str(parse_budget("10%")) == "0.1"
    assert [str(parse_budget(text)) for text in ("1", "1.0", "100%")] == ["1", "1.0", "1.0"]
