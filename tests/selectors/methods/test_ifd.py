from dataclasses import replace

import numpy as np
import pytest
from references.pools import make_pool

from curate.schemas.errors import InputError, UsageError
from curate.selectors.methods.ifd import IfdSettings, select


def run(pool, budget):
    return select(pool, budget, False, IfdSettings(), np.random.default_rng(0))


def test_largest_below_one_first_and_the_others_are_filtered():
    pool = make_pool(300)
    ifd = pool.signals["ifd"]
    selection = run(pool, 40)
    rows = sorted((i for i in np.flatnonzero(pool.eligible) if ifd[i] < 1), key=lambda i: -ifd[i])
    assert selection.order.tolist() == rows[:40]
    assert np.array_equal(selection.reason == "filtered:ifd", pool.eligible & (ifd >= 1))


def test_missing_signal_says_how_to_get_it():
    with pytest.raises(UsageError, match=r"'ifd'.*--ifd"):
        run(replace(make_pool(20), signals={}), 5)


def test_no_row_below_one_is_an_input_error():
    pool = make_pool(20, ineligible=0.0)
    with pytest.raises(InputError, match="no row has an ifd below 1"):
        run(replace(pool, signals={"ifd": np.full(20, 1.5)}), 5)
