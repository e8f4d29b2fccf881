import numpy as np
from references.pools import make_pool

from curate.selectors.methods.longest import LongestSettings, select


def test_most_response_tokens_first_ties_by_example_id():
    pool = make_pool(300)
    pool.n_response_tokens[pool.eligible] //= 40
    selection = select(pool, 60, False, LongestSettings(), np.random.default_rng(0))
    rows = sorted(np.flatnonzero(pool.eligible), key=lambda i: (-pool.n_response_tokens[i], pool.example_id[i]))
    assert selection.order.tolist() == rows[:60]
    assert selection.score[rows[0]] == pool.n_response_tokens[rows[0]]
