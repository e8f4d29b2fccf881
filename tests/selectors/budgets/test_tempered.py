from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references.budgets import tempered_loop
from references.pools import make_pool

from curate.schemas.errors import UsageError
from curate.schemas.selection import Grouping
from curate.selectors.budgets.tempered import allocate_tempered, tempered_weight
from curate.selectors.methods.donod import DonodSettings
from curate.selectors.methods.donod import select as select_donod
from curate.selectors.methods.paser import PaserSettings, needs, select


def allot(weight, upper, total, lower=None, floor=0.5):
    lower = [0] * len(upper) if lower is None else lower
    return allocate_tempered(np.array(weight, float), np.array(lower), np.array(upper), total, floor).tolist()


def test_weights_lie_between_size_and_damage():
    size, damage = np.array([100.0, 100.0, 400.0]), np.array([0.01, 0.04, 0.01])
    assert tempered_weight(size, damage, 0.0) == pytest.approx(size)
    assert tempered_weight(size, damage, 1.0) == pytest.approx(damage)
    assert tempered_weight(size, damage, 0.5) == pytest.approx([1.0, 2.0, 2.0])


def test_unknown_damage_has_no_weight_unless_only_sizes_count():
    size, damage = np.array([10.0, 30.0, 0.0]), np.array([np.nan, 0.1, np.nan])
    assert tempered_weight(size, damage, 0.5)[0] == 0
    assert tempered_weight(size, damage, 0.0).tolist() == [10.0, 30.0, 0.0]


def test_every_group_gets_half_of_its_natural_budget():
    # By weight alone the second group would get 1 of 101; half of its natural share of 50 is 25.
    assert allot([100.0, 1.0], [200, 200], 100) == [75, 25]
    assert allot([100.0, 0.0], [200, 200], 100) == [75, 25]


def test_what_an_exhausted_group_cannot_hold_goes_to_the_others_by_weight():
    assert allot([9.0, 2.0, 1.0], [10, 100, 100], 60) == [10, 33, 17]


def test_pins_go_before_floors():
    # 90 of 100 are pinned in the first group: the floor of 25 of the second cannot be kept.
    assert allot([1.0, 1.0], [200, 200], 100, lower=[90, 0]) == [90, 10]


@st.composite
def cases(draw):
    k = draw(st.integers(1, 7))
    upper = draw(st.lists(st.integers(0, 60), min_size=k, max_size=k))
    lower = [draw(st.integers(0, min(up, draw(st.sampled_from([0, 0, up]))))) for up in upper]
    weight = draw(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.25, 7.0, 1e-9, 1e6]), min_size=k, max_size=k))
    weight = [w if up else 0.0 for w, up in zip(weight, upper, strict=True)]
    return weight, lower, upper, draw(st.integers(sum(lower), sum(upper) + 5)), draw(st.sampled_from([0.0, 0.5, 1.0]))


@given(cases())
def test_agrees_with_exact_fractions(case):
    weight, lower, upper, total, floor = case
    got = allot(weight, upper, total, lower, floor)
    assert got == tempered_loop(weight, lower, upper, total, Fraction(floor))
    assert sum(got) == min(total, sum(upper))
    assert all(lo <= n <= up for lo, n, up in zip(lower, got, upper, strict=True))


def run(pool, budget, **chosen):
    return select(pool, budget, False, PaserSettings(consistency="off", **chosen), np.random.default_rng(0))


def test_the_allocation_of_a_selection_is_the_formula():
    pool = make_pool(400, ineligible=0.0, n_clusters=5)
    table = run(pool, 100, allocation="tempered").allocation
    size = np.array([row["size"] for row in table], float)
    damage = np.array([pool.signals["cds"][pool.cluster == row["cluster"]].mean() for row in table])
    first = [min(pool.example_id[pool.cluster == row["cluster"]]) for row in table]
    order = sorted(range(len(table)), key=first.__getitem__)
    weight = [float(np.sqrt(size[k] * damage[k])) for k in order]
    expected = tempered_loop(weight, [0] * len(order), [int(size[k]) for k in order], 100, Fraction(1, 2))
    assert [table[k]["budget"] for k in order] == expected
    assert [row["kept"] for row in table] == [row["budget"] for row in table]


def test_gamma_0_is_the_proportional_allocation():
    pool = make_pool(300, n_clusters=6)
    tempered = run(pool, 90, allocation="tempered", gamma=0.0)
    assert tempered.order.tolist() == run(pool, 90, allocation="proportional").order.tolist()


def named(pool):
    """The pool with its clusters as groups of the user's naming, in another numbering."""
    names = tuple(f"topic {k}" for k in range(8))
    return replace(pool, group=Grouping((7 - pool.cluster).astype(np.int32), names))


def test_groups_take_the_place_of_clusters():
    pool = make_pool(300, n_clusters=6)
    grouped = run(replace(named(pool), cluster=None), 60, allocation="tempered", groups="source")
    assert grouped.order.tolist() == run(pool, 60, allocation="tempered").order.tolist()
    assert [row["group"] for row in grouped.allocation] == [f"topic {row['cluster']}" for row in grouped.allocation]
    settings = DonodSettings(stratify="clusters", allocation="tempered", groups="column")
    order = select_donod(named(pool), 60, False, settings, np.random.default_rng(0)).order
    plain = DonodSettings(stratify="clusters", allocation="tempered")
    assert order.tolist() == select_donod(pool, 60, False, plain, np.random.default_rng(0)).order.tolist()


def test_settings():
    assert needs(PaserSettings(groups="source", consistency="off"), False) == {"tokens", "groups", "cds"}
    with pytest.raises(UsageError, match=r"--gamma 1.5 is outside \[0, 1\]"):
        PaserSettings(gamma=1.5)
    with pytest.raises(UsageError, match="--groups 'sources' is unknown, did you mean 'source'"):
        PaserSettings(groups="sources")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--groups source does not go with --allocation recoverability"):
        PaserSettings(groups="source", allocation="recoverability")
