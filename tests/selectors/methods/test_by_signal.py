"""Selection of the rows at one end of a signal."""

import numpy as np
import pytest
from references.pools import make_pool

from curate.schemas.errors import InputError, UsageError
from curate.selectors.methods.by_signal import BySignalSettings, needs, select

RNG = np.random.default_rng(0)


def kept_loop(pool, values, budget, sign):
    """Return the ids to keep: sort all rows that have a value, take the first."""
    rows = [i for i in range(len(pool)) if pool.eligible[i] and np.isfinite(values[i])]
    rows.sort(key=lambda i: (-sign * values[i], pool.example_id[i]))
    return [pool.example_id[i] for i in rows[:budget]]


@pytest.mark.parametrize(("prefer", "sign"), [("high", 1), ("low", -1)])
def test_the_preferred_end_is_kept(prefer, sign):
    pool = make_pool(80)
    values = np.round(RNG.normal(size=80), 1)
    values[::9] = np.nan
    pool.signals["imported"] = values
    result = select(pool, 20, False, BySignalSettings(signal="mine", prefer=prefer), RNG)
    assert pool.example_id[result.order].tolist() == kept_loop(pool, values, 20, sign)
    without = pool.eligible & np.isnan(values)
    assert set(result.reason[without]) == {"filtered:no_value"}


def test_computed_signals_need_scores_and_imported_ones_do_not():
    assert needs(BySignalSettings(signal="entropy"), False) == {"tokens", "entropy"}
    assert needs(BySignalSettings(signal="mine"), False) == {"imported"}
    assert needs(BySignalSettings(signal="mine"), True) == {"imported", "tokens"}
    assert needs(BySignalSettings(signal="solved_gap"), False) == {"solved"}
    assert needs(BySignalSettings(signal="solved_gap"), True) == {"solved", "tokens"}


def test_invalid_settings():
    with pytest.raises(UsageError, match="--signal NAME"):
        needs(BySignalSettings(), False)
    with pytest.raises(UsageError, match="--prefer 'hihg' is unknown, did you mean 'high'"):
        BySignalSettings(signal="mine", prefer="hihg")  # type: ignore[arg-type]
    pool = make_pool(9)
    pool.signals["imported"] = np.full(9, np.nan)
    with pytest.raises(InputError, match="no row that may be kept has a value of 'mine'"):
        select(pool, 2, False, BySignalSettings(signal="mine"), RNG)
    pool.signals["solved"] = np.full(9, np.nan)
    with pytest.raises(InputError, match="value of 'solved_gap'; sample a selection"):
        select(pool, 2, False, BySignalSettings(signal="solved_gap"), RNG)
