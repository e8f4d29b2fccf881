from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_valid_selection
from references.pools import make_pool, shuffled
from references.selection import coverage_loop
from row_vectors import draw_vectors

from curate.schemas.errors import InputError, UsageError
from curate.schemas.selection import RowVectors
from curate.selectors.methods.coverage import CoverageSettings, needs, select


def pool_of(n=160, seed=0, **how):
    pool = make_pool(n, seed, n_clusters=4, **how)
    return replace(pool, vectors=draw_vectors(pool, seed))


def run(pool, budget, in_tokens=False, **chosen):
    selection = select(pool, budget, in_tokens, CoverageSettings(**chosen), np.random.default_rng(0))
    assert_valid_selection(selection, pool, budget, in_tokens)
    return selection


@pytest.mark.parametrize("allocation", ["tempered", "uniform", "degradation"])
def test_agrees_with_the_loop(allocation):
    for seed in range(3):
        pool = pool_of(seed=seed)
        selection = run(pool, 40, allocation=allocation)
        quota = {row["cluster"]: int(row["budget"]) for row in selection.allocation}
        rows = sorted(np.flatnonzero(pool.eligible).tolist(), key=lambda i: pool.example_id[i])
        taken, score = coverage_loop(pool, quota, rows)
        assert set(selection.order.tolist()) == taken
        assert {i: selection.score[i] for i in rows} == pytest.approx(score, rel=1e-9, abs=1e-12)


def test_groups_take_turns():
    pool = pool_of()
    selection = run(pool, 24, allocation="uniform")
    for turn in range(6):
        assert len(set(pool.cluster[selection.order[4 * turn : 4 * turn + 4]].tolist())) == 4


def test_the_order_of_the_corpus_does_not_matter():
    pool = pool_of()
    moved, _ = shuffled(pool, 3)
    assert set(pool.example_id[run(pool, 30).order]) == set(moved.example_id[run(moved, 30).order])


def test_a_row_is_not_its_own_reason():
    pool = pool_of(60, ineligible=0.0)
    length = pool.vectors.length.copy()
    lonely = int(np.flatnonzero(pool.cluster == pool.cluster[0])[0])
    unit = pool.vectors.unit.copy()
    # Orthogonal to all others, and by far the longest: it would dominate a mean that contained it.
    unit[:, -1], unit[lonely] = 0, 0
    unit[lonely, -1], length[lonely] = 1, 1e4
    pool = replace(pool, vectors=RowVectors(unit, length))
    selection = run(pool, 20)
    assert selection.score[lonely] == pytest.approx(0.0, abs=1e-9)


def test_a_target_takes_the_place_of_the_groups():
    pool = pool_of()
    target = draw_vectors(pool, 9)
    target = RowVectors(target.unit[:7], target.length[:7])
    mean = (target.length[:, None] * target.unit.astype(float)).mean(0)
    rows = np.flatnonzero(pool.eligible)
    along = {int(i): float(pool.vectors.unit[i].astype(float) @ mean) for i in rows}
    selection = run(replace(pool, target=target, cluster=None), 20, target="rows.jsonl")
    assert selection.order.tolist() == sorted(along, key=lambda i: -along[i])[:20]
    assert selection.allocation == ()


def test_rows_without_a_sketch_are_left_out():
    pool = pool_of(ineligible=0.0)
    pool.vectors.unit[3], pool.vectors.length[3] = np.nan, np.nan
    selection = run(pool, 159)
    assert selection.reason[3] == "filtered:non_finite:sketch"
    with pytest.raises(InputError, match="coverage needs sketches"):
        run(replace(pool, vectors=None), 10)


def test_token_budgets_and_pins():
    pool = pool_of()
    pinned = np.zeros(len(pool), bool)
    pinned[np.flatnonzero(pool.eligible)[:2]] = True
    assert set(np.flatnonzero(pinned)) <= set(run(replace(pool, pinned=pinned), 3000, in_tokens=True).order.tolist())


def test_settings():
    assert needs(CoverageSettings(), False) == {"clusters", "tokens", "cds", "gradients"}
    assert needs(CoverageSettings(groups="source", allocation="proportional"), False) == {
        "groups", "tokens", "gradients",
    }  # fmt: skip
    assert needs(CoverageSettings(target="a"), False) == {"tokens", "gradients"}
    with pytest.raises(UsageError, match="--allocation 'temper' is unknown, did you mean 'tempered'"):
        CoverageSettings(allocation="temper")  # type: ignore[arg-type]
