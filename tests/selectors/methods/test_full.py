from dataclasses import replace

import numpy as np
from references.pools import make_pool

from curate.selectors.methods.full import FullSettings, select


def test_keeps_all_eligible_rows_whatever_the_budget():
    pool = replace(make_pool(100), pinned=np.arange(100) == 7)
    for in_tokens in (False, True):
        selection = select(pool, 3, in_tokens, FullSettings(), np.random.default_rng(0))
        assert sorted(selection.order.tolist()) == np.flatnonzero(pool.eligible).tolist()
        assert set(selection.reason) == {"selected", "no_response_tokens"}
        assert not selection.warnings
    assert selection.facts["spent"] == (pool.n_prompt_tokens + pool.n_response_tokens)[pool.eligible].sum()
