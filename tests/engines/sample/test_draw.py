"""Samples against greedy decoding, the softmax, and one row at a time without a key-value cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from curate.engines.evaluate.generation import encode_questions, greedy_answers
from curate.engines.pretrain import PretrainConfig, new_model, train_tokenizer
from curate.engines.sample.batch import Drawing, Request
from curate.engines.sample.draw import draw_samples, uniforms_of
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn

WORDS = ("a", "sort these letters", "x " * 20, "what is 12 plus 7", "b c", "hello", "one more question here")
ROWS = [(Turn("user", word), Turn("assistant", word[:5] or "y")) for word in WORDS]
LIMIT = 10


@pytest.fixture(scope="module")
def subject():
    tokenizer = train_tokenizer(WORDS, 300)
    model = new_model(tokenizer, PretrainConfig(vocabulary=300, hidden=32, layers=2, heads=2, intermediate=48)).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    # Defaults that would change every sample if they were used.
    model.generation_config.top_k = 1
    model.generation_config.temperature = 0.01
    return model, [q.prompt for q in encode_questions(Template(tokenizer), ROWS)]


def log_probabilities(model, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
    return torch.log_softmax(logits.double(), dim=-1).numpy()


def slow_sample(model, prompt: np.ndarray, uniforms: np.ndarray, stops: list[int], temperature: float):
    """Draw one sample token by token by walking down the cumulative distribution."""
    ids = [int(token) for token in prompt]
    drawn: list[int] = []
    logp: list[float] = []
    entropy: list[float] = []
    for uniform in uniforms:
        log_p = log_probabilities(model, ids)
        weights = np.exp(log_p / temperature)
        token, total = 0, weights[0]
        while total <= uniform * weights.sum():
            token += 1
            total += weights[token]
        logp.append(log_p[token])
        entropy.append(-(np.exp(log_p) * log_p).sum())
        if token in stops:
            return drawn, len(logp), np.mean(logp), np.mean(entropy), False
        ids.append(token)
        drawn.append(token)
    return drawn, len(logp), np.mean(logp), np.mean(entropy), True


def test_without_random_numbers_a_sample_is_the_greedy_answer(subject) -> None:
    model, prompts = subject
    stops = [2, int(greedy_answers(model, prompts[:1], [], 6, 1)[0][3])]
    samples = draw_samples(model, [Request(one, None) for one in prompts], Drawing(stops, LIMIT, temperature=0.7))
    assert [one.ids for one in samples] == greedy_answers(model, prompts, stops, LIMIT, 64)
    assert [one.stopped_early for one in samples] == [len(one.ids) == LIMIT for one in samples]
    assert {one.stopped_early for one in samples} == {True, False}


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_samples_equal_a_walk_down_the_distribution(subject, batch_size: int) -> None:
    model, prompts = subject
    uniforms = [uniforms_of(0, str(row), 2, LIMIT) for row in range(len(prompts))]
    requests = [Request(*pair) for pair in zip(prompts, uniforms, strict=True)]
    stops = [2, slow_sample(model, prompts[0], uniforms[0], [], 5.0)[0][4]]
    samples = draw_samples(model, requests, Drawing(stops, LIMIT, temperature=5.0), batch_size=batch_size)
    for one, prompt, numbers in zip(samples, prompts, uniforms, strict=True):
        ids, n_tokens, mean_logp, mean_entropy, stopped_early = slow_sample(model, prompt, numbers, stops, 5.0)
        assert (one.ids, one.n_tokens, one.stopped_early) == (ids, n_tokens, stopped_early)
        assert one.mean_logp == pytest.approx(mean_logp, abs=1e-4)
        assert one.mean_entropy == pytest.approx(mean_entropy, abs=1e-4)
    assert min(one.n_tokens for one in samples) < LIMIT


def test_first_tokens_have_the_probabilities_of_the_softmax(subject) -> None:
    model, prompts = subject
    count, temperature = 4000, 4.0
    requests = [Request(prompts[0], uniforms_of(0, "row", number, 1)) for number in range(count)]
    samples = draw_samples(model, requests, Drawing([], 1, temperature=temperature), batch_size=500)
    tokens = [one.ids[0] for one in samples]
    weights = np.exp(log_probabilities(model, list(prompts[0])) / temperature)
    expected = weights / weights.sum()
    shares = np.bincount(tokens, minlength=len(expected)) / count
    errors = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(shares - expected) <= 5 * errors + 1e-3).all()
    assert (shares > 0).sum() > 3


def test_random_numbers_depend_on_seed_row_and_number() -> None:
    drawn = {tuple(uniforms_of(*key, 4)) for key in [(0, "a", 2), (1, "a", 2), (0, "b", 2), (0, "a", 3)]}
    assert len(drawn) == 4
    assert (uniforms_of(0, "a", 2, 8)[:4] == uniforms_of(0, "a", 2, 4)).all()


def test_an_answer_ends_where_the_context_does(subject) -> None:
    model, prompts = subject
    (sample,) = draw_samples(
        model, [Request(prompts[0], None)], Drawing([], 50, temperature=1.0, context=len(prompts[0]) + 3)
    )
    assert sample.n_tokens == 3
    assert sample.stopped_early


@pytest.mark.parametrize("batch_size", [2, 64])
def test_states_are_those_of_the_token_before_the_last(subject, batch_size: int) -> None:
    model, prompts = subject
    stops = [2, int(greedy_answers(model, prompts[:1], [], 6, 1)[0][3])]
    requests = [Request(one, None) for one in prompts]
    samples = draw_samples(
        model, requests, Drawing(stops, LIMIT, temperature=1.0, with_states=True), batch_size=batch_size
    )
    for sample, prompt in zip(samples, prompts, strict=True):
        read = [*prompt.tolist(), *sample.ids][: len(prompt) + sample.n_tokens - 1]
        with torch.no_grad():
            output = model(torch.tensor(read)[None], output_hidden_states=True, use_cache=False)
        assert sample.state == pytest.approx(output.hidden_states[-1][0, -1].numpy(), abs=1e-4)
    assert draw_samples(model, requests[:1], Drawing(stops, LIMIT, temperature=1.0))[0].state is None


def test_equal_prompts_are_read_once(subject, monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = subject
    requests = [
        Request(prompt, uniforms_of(0, str(row), number, LIMIT))
        for number in (2, 3, 4)
        for row, prompt in enumerate(prompts)
    ]
    read: list[int] = []
    hook = model.base_model.register_forward_pre_hook(
        lambda module, arguments, named: read.append(named["input_ids"].numel()), with_kwargs=True
    )
    shared = draw_samples(model, requests, Drawing([2], LIMIT, temperature=5.0, with_states=True))
    hook.remove()
    longest = max(map(len, prompts))
    assert max(read) == len(prompts) * (longest - 1)
    monkeypatch.setattr("curate.engines.sample.draw.keeps_keys", lambda _: False)
    alone = draw_samples(model, requests, Drawing([2], LIMIT, temperature=5.0, with_states=True))
    assert [one.ids for one in shared] == [one.ids for one in alone]
    for one, other in zip(shared, alone, strict=True):
        assert (one.mean_logp, one.mean_entropy) == pytest.approx((other.mean_logp, other.mean_entropy), abs=1e-4)
        assert one.state == pytest.approx(other.state, abs=1e-4)
