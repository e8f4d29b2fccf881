from dataclasses import replace

import numpy as np
import pytest
from assertions import assert_valid_selection
from references.budgets import allocate_loop
from references.pools import make_pool
from references.selection import efficiency_loop

from curate.schemas.errors import UsageError
from curate.selectors.methods.anchored import AnchoredSettings, needs, select


def run(pool, budget, in_tokens=False, seed=0, **settings):
    selection = select(pool, budget, in_tokens, AnchoredSettings(**settings), np.random.default_rng(seed))
    assert_valid_selection(selection, pool, budget, in_tokens)
    return selection


def anchored_rows(pool, share=0.3):
    """The rows that stay, cluster by cluster."""
    stay = {}
    for k in np.unique(pool.cluster).tolist():
        rows = [i for i in range(len(pool)) if pool.eligible[i] and pool.cluster[i] == k]
        rows.sort(key=lambda i: (pool.signals["nll_original"][i], pool.example_id[i]))
        stay[k] = rows[: len(rows) - int(share * len(rows) + 1e-9)]
    return stay


def test_the_least_likely_third_of_each_cluster_is_filtered():
    pool = make_pool(300, n_clusters=4)
    selection = run(pool, 50)
    stay = {i for rows in anchored_rows(pool).values() for i in rows}
    dropped = set(np.flatnonzero(selection.reason == "filtered:anchor").tolist())
    assert dropped == set(np.flatnonzero(pool.eligible).tolist()) - stay


@pytest.mark.parametrize("rank", ["random", "ies", "excess"])
def test_budgets_follow_the_degradation_of_remaining_rows(rank):
    pool = make_pool(300, n_clusters=4)
    selection = run(pool, 50, rank=rank)
    stay = anchored_rows(pool)
    ordered = sorted(stay, key=lambda k: min(pool.example_id[stay[k]]))
    weight = [pool.signals["cds"][stay[k]].mean() for k in ordered]
    quota = dict(zip(ordered, allocate_loop(weight, [0] * 4, [len(stay[k]) for k in ordered], 50), strict=True))
    assert {row["cluster"]: row["kept"] for row in selection.allocation} == quota
    assert {row["cluster"]: row["degradation"] for row in selection.allocation} == pytest.approx(
        dict(zip(ordered, weight, strict=True))
    )


def test_ranks():
    pool = make_pool(200, n_clusters=1)
    rows = anchored_rows(pool)[0]
    excess = pool.signals["nll_compressed"] - pool.signals["nll_original"]
    assert run(pool, 9, rank="excess").order.tolist() == sorted(rows, key=lambda i: -excess[i])[:9]
    columns = (pool.signals["cds"], pool.n_prompt_tokens, pool.n_response_tokens)
    ies = {i: efficiency_loop(*(float(column[i]) for column in columns)) for i in rows}
    assert run(pool, 9, rank="ies").order.tolist() == sorted(rows, key=lambda i: -ies[i])[:9]
    assert run(pool, 9).order.tolist() == run(pool, 9).order.tolist()
    assert set(run(pool, 9).order) != set(run(pool, 9, seed=1).order)


def test_pins_are_not_filtered():
    pool = make_pool(100, ineligible=0.0, n_clusters=2)
    worst = int(np.argmax(pool.signals["nll_original"]))
    assert run(replace(pool, pinned=np.arange(100) == worst), 10).order[0] == worst


def test_small_clusters_are_never_emptied():
    pool = make_pool(12, ineligible=0.0)
    pool = replace(pool, cluster=np.arange(12, dtype=np.int32))
    assert len(run(pool, 12).order) == 12


def test_settings():
    assert needs(AnchoredSettings(), False) == {"clusters", "tokens", "cds", "nll_original"}
    assert "nll_compressed" in needs(AnchoredSettings(rank="excess"), False)
    with pytest.raises(UsageError, match="--anchor-share 1.0 is outside"):
        AnchoredSettings(anchor_share=1.0)
    with pytest.raises(UsageError, match="--rank 'randon' is unknown, did you mean 'random'"):
        AnchoredSettings(rank="randon")  # type: ignore[arg-type]
