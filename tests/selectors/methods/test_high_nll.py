import numpy as np
from references.pools import make_pool

from curate.selectors.methods.high_nll import HighNllSettings, select


def test_highest_loss_of_the_model_to_be_trained_first():
    pool = make_pool(300)
    selection = select(pool, 60, False, HighNllSettings(), np.random.default_rng(0))
    nll = pool.signals["nll_compressed"]
    rows = sorted(np.flatnonzero(pool.eligible), key=lambda i: -nll[i])
    assert selection.order.tolist() == rows[:60]
