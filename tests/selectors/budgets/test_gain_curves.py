import numpy as np
import pytest
from references.gain_curves import fit_slowly, gain

from curate.selectors.budgets.gain_curves import LONGEST, SHORTEST, PilotLosses, cluster_curve, fit, pooled_curve

SIZES = np.array([10, 32, 96])


def planted(ceiling, tau, seed, m=128, before=0.8, sizes=SIZES):
    """Draw the losses of a cluster whose rows gain by a known curve, each row in its own measure."""
    rng = np.random.default_rng(seed)
    n_tokens = rng.integers(4, 20, m)
    first = rng.gamma(4.0, before / 4.0, m)
    own = rng.uniform(0.4, 1.6, m)  # how much of the gain a row has, mean 1
    left = 1.0 - own * gain(sizes, ceiling, tau)[:, None] / before + rng.normal(0.0, 0.05, (len(sizes), m))
    return PilotLosses(sizes, n_tokens, first * n_tokens, first * left * n_tokens)


@pytest.mark.parametrize("seed", range(20))
def test_the_fit_is_that_of_least_squares(seed):
    rng = np.random.default_rng(seed)
    gains = gain(SIZES, rng.uniform(0.05, 0.5), rng.uniform(4.0, 150.0)) + rng.normal(0.0, 0.02, 3)
    ceiling, tau = (float(one[0]) for one in fit(SIZES, gains[None], np.ones((1, 3)), np.array([0.9])))
    (_, _), error = fit_slowly(SIZES, gains, 0.9, (SHORTEST * 10, LONGEST * 96))
    ours = float(((gain(SIZES, ceiling, tau) - gains) ** 2).sum())
    # Values of tau a hundredth apart cost a few hundredths of what is left over.
    assert error - 1e-12 <= ours <= error * 1.03 + 1e-6


@pytest.mark.parametrize(("ceiling", "tau"), [(0.3, 20.0), (0.1, 8.0), (0.5, 60.0)])
def test_a_curve_without_noise_is_recovered(ceiling, tau):
    result = fit(SIZES, gain(SIZES, ceiling, tau)[None], np.ones((1, 3)), np.array([0.9]))
    assert result[0][0] == pytest.approx(ceiling, rel=0.01)
    assert result[1][0] == pytest.approx(tau, rel=0.012)


def test_weights_are_repetitions():
    sizes, gains = np.array([5, 20, 80]), np.array([[0.05, 0.2, 0.21]])
    twice = fit(np.repeat(sizes, [1, 3, 1]), np.repeat(gains, [1, 3, 1], axis=1), np.ones((1, 5)), np.array([1.0]))
    weighed = fit(sizes, gains, np.array([[1.0, 3.0, 1.0]]), np.array([1.0]))
    np.testing.assert_allclose(np.concatenate(twice), np.concatenate(weighed))


def test_intervals_cover_planted_curves():
    """95 % intervals over held-out rows; three points and a curve leave them a little off."""
    held = np.zeros(2)
    for seed in range(100):
        curve = cluster_curve(planted(0.3, 25.0, seed), seed)
        held += [curve.ceiling[1] <= 0.3 <= curve.ceiling[2], curve.tau[1] <= 25.0 <= curve.tau[2]]
    assert (held >= 88).all(), held


def test_intervals_shrink_with_more_held_out_rows():
    few, many = (cluster_curve(planted(0.3, 25.0, 3, m=m), 0) for m in (20, 500))
    assert many.ceiling[2] - many.ceiling[1] < 0.5 * (few.ceiling[2] - few.ceiling[1])


def test_training_that_harms_has_no_ceiling():
    losses = planted(0.0, 25.0, 5)
    worse = PilotLosses(losses.sizes, losses.n_tokens, losses.before, losses.after * 1.2)
    assert cluster_curve(worse, 0).ceiling == (0.0, 0.0, 0.0)


def test_a_ceiling_is_at_most_the_loss():
    # Gains linear in the rows would otherwise be extrapolated without limit.
    gains = np.array([[0.02, 0.064, 0.192]])
    ceiling, tau = fit(SIZES, gains, np.ones((1, 3)), np.array([0.2]))
    assert ceiling[0] <= 0.2
    assert SHORTEST * 10 <= tau[0] <= LONGEST * 96


def test_the_pooled_curve_is_that_of_the_clusters_where_they_agree():
    many = [planted(0.3, 25.0, seed, sizes=SIZES if seed % 2 else np.array([4, 12, 36])) for seed in range(12)]
    curve = pooled_curve(many, 0)
    assert curve.ceiling[1] <= 0.3 <= curve.ceiling[2]
    assert curve.tau[1] <= 25.0 <= curve.tau[2]
    apart = pooled_curve([*many[:6], *(planted(0.05, 25.0, seed) for seed in range(6))], 0)
    assert apart.ceiling[2] - apart.ceiling[1] > 2 * (curve.ceiling[2] - curve.ceiling[1])


def test_the_same_seed_gives_the_same_bits():
    losses = planted(0.3, 25.0, 1)
    assert cluster_curve(losses, 4) == cluster_curve(losses, 4)
    assert cluster_curve(losses, 4) != cluster_curve(losses, 5)
