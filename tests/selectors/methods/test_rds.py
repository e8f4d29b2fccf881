from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_valid_selection
from references.pools import make_pool
from references.selection import rds_loop
from row_vectors import draw_vectors

from curate.schemas.selection import RowVectors
from curate.selectors.methods.rds import RdsSettings, needs, select


def pool_of(n=120, seed=0):
    pool = make_pool(n, seed, n_clusters=3)
    unit = draw_vectors(pool, seed).unit
    return replace(pool, vectors=RowVectors(unit, np.ones(n)))


def run(pool, budget, in_tokens=False, **chosen):
    selection = select(pool, budget, in_tokens, RdsSettings(**chosen), np.random.default_rng(0))
    assert_valid_selection(selection, pool, budget, in_tokens)
    return selection


def test_target_rows_pick_in_turn():
    for seed in range(3):
        pool = pool_of(seed=seed)
        target = RowVectors(draw_vectors(pool, seed + 20).unit[:5], np.ones(5))
        rows = sorted(np.flatnonzero(pool.eligible).tolist(), key=lambda i: pool.example_id[i])
        points = pool.vectors.unit[rows].astype(np.float32)
        expected = [rows[i] for i in rds_loop(target.unit.astype(np.float32), points, 30)]
        selection = run(replace(pool, target=target), 30, target="rows.jsonl")
        assert selection.order.tolist() == expected
        first = expected[0]
        cosine = float(target.unit[0].astype(np.float32) @ pool.vectors.unit[first].astype(np.float32))
        assert selection.score[first] == pytest.approx(cosine, rel=1e-5)


def test_target_rows_pass_over_what_does_not_fit():
    pool = pool_of()
    target = RowVectors(draw_vectors(pool, 20).unit[:5], np.ones(5))
    run(replace(pool, target=target), 2500, in_tokens=True, target="rows.jsonl")
    assert len(run(replace(pool, target=target), 10_000, target="rows.jsonl").order) == pool.eligible.sum()


def test_without_a_target_groups_take_equal_turns():
    pool = pool_of()
    selection = run(pool, 30)
    assert [row["kept"] for row in selection.allocation] == [10, 10, 10]
    for row in selection.allocation:
        members = np.flatnonzero(pool.eligible & (pool.cluster == row["cluster"]))
        unit = pool.vectors.unit.astype(float)
        score = {int(i): float(unit[i] @ unit[members[members != i]].mean(0)) for i in members}
        best = sorted(score, key=lambda i: -score[i])[:10]
        assert set(best) == {int(i) for i in selection.order if pool.cluster[i] == row["cluster"]}


def test_settings():
    assert needs(RdsSettings(), False) == {"clusters", "tokens", "states"}
    assert needs(RdsSettings(target="a"), False) == {"tokens", "states"}
