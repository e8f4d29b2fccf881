import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from references.budgets import first_fit_loop
from references.pools import make_pool

from curate.selectors.row_costs import first_fit, row_costs


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(0, 300))
def test_first_fit_agrees_with_the_loop_and_leaves_less_than_the_largest_cost(cost, budget):
    taken = first_fit(np.array(cost, dtype=np.int64), budget)
    assert taken.tolist() == first_fit_loop(cost, budget)
    spent = sum(price for price, kept in zip(cost, taken, strict=True) if kept)
    assert spent <= budget
    if not taken.all():
        assert budget - spent < max(cost)


def test_rows_cost_one_or_their_tokens():
    pool = make_pool(20)
    assert row_costs(pool, in_tokens=False).tolist() == [1] * 20
    assert np.array_equal(row_costs(pool, in_tokens=True), pool.n_prompt_tokens + pool.n_response_tokens)
