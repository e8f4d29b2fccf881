"""`run_pilots`: each pilot equals a recovery from the stored model on the same rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from models import WORDS, save_llama

from curate.engines.recover import recover
from curate.engines.recover.pilots import run_pilots
from curate.schemas.corpus import Turn
from curate.schemas.errors import GateError, InputError
from curate.schemas.recovery import RecoveryRequest


def conversations(seed, n):
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(WORDS, 5).tolist() for _ in range(n)]
    return [(Turn("user", " ".join(words)), Turn("assistant", " ".join(words[:2]))) for words in drawn]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_llama(tmp_path_factory.mktemp("pilot") / "model")


@pytest.mark.parametrize("method", ["lora", "mask_lora", "perp", "full"])
def test_every_pilot_equals_a_recovery_on_its_rows(model, tmp_path, method):
    rows, heldout = conversations(0, 18), conversations(1, 9)
    request = RecoveryRequest(method=method, learning_rate=5e-3, epochs=2, batch=4, seed=3)
    result = run_pilots(model, rows, heldout, (2, 6, 18), request)
    assert result.method == method
    assert result.after.shape == (3, 9)
    for size, after, tokens in zip((2, 6, 18), result.after, result.trained_tokens, strict=True):
        report = recover(model, rows[:size], tmp_path / str(size), request, heldout=heldout)
        total = result.n_tokens.sum()
        assert math.exp(result.before.sum() / total) == pytest.approx(report["perplexity_before"], rel=1e-6)
        assert math.exp(after.sum() / total) == pytest.approx(report["perplexity_trained"], rel=1e-6)
        assert tokens == report["tokens"]
    # Even a tiny model of random weights learns when an answer ends.
    assert result.after[-1].sum() < result.before.sum()


def test_equal_requests_give_equal_bits(model):
    rows, heldout = conversations(0, 6), conversations(1, 4)
    request = RecoveryRequest(method="lora", learning_rate=5e-3, batch=2, seed=3)
    one, other = (run_pilots(model, rows, heldout, (2, 6), request) for _ in range(2))
    assert one.after.tobytes() == other.after.tobytes()


def test_rows_scored_with_another_template_are_refused(model):
    rows, heldout = conversations(0, 6), conversations(1, 4)
    with pytest.raises(GateError, match="tokenised differently"):
        run_pilots(model, rows, heldout, (2, 6), RecoveryRequest(), template_digest="other")
    silent = [*rows[:5], (Turn("user", "say"),)]
    with pytest.raises(InputError, match="without a supervised token"):
        run_pilots(model, silent, heldout, (2, 6), RecoveryRequest())
