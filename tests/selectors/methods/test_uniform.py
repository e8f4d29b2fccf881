from dataclasses import replace

import numpy as np
from references.pools import make_pool

from curate.schemas.selection import Pool
from curate.selectors.methods.uniform import UniformSettings, needs, select


def test_needs_nothing_for_rows_and_token_counts_for_tokens():
    assert needs(UniformSettings(), False) == frozenset()
    assert needs(UniformSettings(), True) == {"tokens"}
    bare = Pool(np.array(["b", "a"]), np.ones(2, bool), np.full(2, "", object), np.zeros(2, int), np.zeros(2, int))
    assert len(select(bare, 1, False, UniformSettings(), np.random.default_rng(0)).order) == 1


def test_every_row_is_equally_likely():
    pool = make_pool(20, ineligible=0.0)
    rng = np.random.default_rng(0)
    counts = np.zeros(20)
    for _ in range(4000):
        counts[select(pool, 5, False, UniformSettings(), rng).order] += 1
    # 4000 draws with probability 1/4: standard deviation 27.
    assert (np.abs(counts - 1000) < 5 * 27).all()


def test_a_larger_budget_contains_the_smaller():
    pool = make_pool(100)
    small, large = (select(pool, n, False, UniformSettings(), np.random.default_rng(3)).order for n in (10, 40))
    assert large[:10].tolist() == small.tolist()


def test_a_corpus_that_grows_changes_few_rows_of_the_draw():
    """Of the grown corpus's draw, the old rows are the first of the old draw: nothing is drawn anew."""
    grown = make_pool(2000, ineligible=0.0)
    old = replace(grown, eligible=np.arange(2000) < 1800)
    before, after = (
        select(pool, 200, False, UniformSettings(), np.random.default_rng(5)).order for pool in (old, grown)
    )
    stayed = after[old.eligible[after]]
    assert stayed.tolist() == before[: len(stayed)].tolist()
    # A tenth of the rows are new; 200 draws of them have a standard deviation of 4.
    assert abs(len(stayed) - 180) < 5 * 4
    other = select(grown, 200, False, UniformSettings(), np.random.default_rng(6)).order
    assert len(set(after) & set(other)) < 60  # 20 by chance


def test_pins_count_towards_the_budget():
    pool = replace(make_pool(50, ineligible=0.0), pinned=np.arange(50) < 3)
    order = select(pool, 10, False, UniformSettings(), np.random.default_rng(0)).order
    assert set(order[:3].tolist()) == {0, 1, 2}
    assert len(order) == 10
