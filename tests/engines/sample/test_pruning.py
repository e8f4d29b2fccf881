"""Pruned samples against drawing everything and pruning by the definition, and against a model of known answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from curate.engines.evaluate.generation import encode_questions
from curate.engines.pretrain import PretrainConfig, new_model, train_tokenizer
from curate.engines.sample.accept import by_agreement, by_reference
from curate.engines.sample.adaptive import draw_adaptively, waves
from curate.engines.sample.answer import Answer
from curate.engines.sample.batch import Drawing, Request
from curate.engines.sample.draw import draw_samples, uniforms_of
from curate.engines.sample.pruning import Pruning, survivors
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from curate.engines.sample.draw import Sample

WORDS = ("a", "sort these letters", "x " * 20, "what is 12 plus 7", "hello")
LIMIT, AT, WAVE = 9, 4, 5


@pytest.fixture(scope="module")
def subject():
    tokenizer = train_tokenizer(WORDS, 300)
    model = new_model(tokenizer, PretrainConfig(vocabulary=300, hidden=32, layers=2, heads=2, intermediate=48)).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(30)
    rows = [(Turn("user", word), Turn("assistant", "y")) for word in WORDS]
    prompts = [question.prompt for question in encode_questions(Template(tokenizer), rows)]
    # The greedy answer is among the partials of every second row.
    requests = [
        Request(prompt, None if number == 1 else uniforms_of(0, str(row), number, LIMIT), row)
        for row, prompt in enumerate(prompts)
        for number in range(1 + row % 2, WAVE + 1 + row % 2)
    ]
    return model, requests, _stops(model, requests)


def _stops(model: PreTrainedModel, requests: Sequence[Request]) -> list[int]:
    """Return tokens that end some answers before they are compared, some later, and others never."""
    drawn = draw_samples(model, requests, Drawing([], LIMIT, 3.0))
    return [*{one.ids[place] for one, place in zip(drawn[::4], (0, 1, 3, 5, 7), strict=False)}]


def running_score(model: PreTrainedModel, request: Request, ids: list[int]) -> float:
    """Return the sum of log p of the first tokens of an answer, by one pass over all of them."""
    tokens = [*request.prompt.tolist(), *ids[:AT]]
    with torch.no_grad():
        log_p = torch.log_softmax(model(torch.tensor([tokens]), use_cache=False).logits[0].double(), dim=-1)
    places = range(len(request.prompt), len(tokens))
    return float(sum(log_p[place - 1, tokens[place]] for place in places))


def slow_pruned(model: PreTrainedModel, requests: Sequence[Request], whole: Sequence[Sample], keep: float) -> set[int]:
    """Return the places of the samples that stop, from samples that were drawn to their ends."""
    stopped = set()
    for row in {one.row for one in requests}:
        own = [place for place, one in enumerate(requests) if one.row == row and len(whole[place].ids) >= AT]
        scores = {place: running_score(model, requests[place], whole[place].ids) for place in own}
        order = sorted(own, key=lambda place: (-round(scores[place], 3), place))
        stopped |= set(order[max(1, int(keep * len(own) + 1e-9)) :])
    return stopped


@pytest.mark.parametrize(
    ("keep", "batch_size", "keys"),
    [(0.5, 1, True), (0.25, 3, True), (0.5, 7, True), (0.8, 64, True), (0.5, 3, False), (0.8, 64, False)],
)
def test_pruned_samples_are_those_by_the_definition(
    subject, keep: float, batch_size: int, keys: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, requests, stops = subject
    whole = draw_samples(model, requests, Drawing(stops, LIMIT, 3.0, with_states=True))
    expected = slow_pruned(model, requests, whole, keep)
    assert 0 < len(expected) < len(requests)
    ended = [one.n_tokens <= AT for one in whole if not one.stopped_early]
    assert {*ended} == {True, False}
    assert any(one.stopped_early for one in whole)
    if not keys:
        monkeypatch.setattr("curate.engines.sample.draw.keeps_keys", lambda _: False)
    how = Drawing(stops, LIMIT, 3.0, with_states=True, pruning=Pruning(AT, keep))
    samples = draw_samples(model, requests, how, batch_size)
    assert {place for place, one in enumerate(samples) if one.pruned} == expected
    for place, (one, other) in enumerate(zip(samples, whole, strict=True)):
        if place in expected:
            assert (one.ids, one.n_tokens, one.stopped_early) == (other.ids[:AT], AT, True)
            score = running_score(model, requests[place], one.ids)
            assert one.mean_logp == pytest.approx(score / AT, abs=1e-4)
        else:
            assert (one.ids, one.n_tokens, one.stopped_early) == (other.ids, other.n_tokens, other.stopped_early)
            assert one.mean_logp == pytest.approx(other.mean_logp, abs=1e-4)
            assert one.mean_entropy == pytest.approx(other.mean_entropy, abs=1e-4)
            assert one.state == pytest.approx(other.state, abs=1e-4)


def test_pruned_samples_are_not_computed_any_more(subject) -> None:
    model, requests, _ = subject
    steps: list[int] = []
    hook = model.base_model.register_forward_pre_hook(
        lambda module, arguments, named: steps.append(named["input_ids"].shape[0]), with_kwargs=True
    )
    samples = draw_samples(model, requests, Drawing([], LIMIT, 3.0, pruning=Pruning(AT, 0.5)))
    hook.remove()
    left = sum(not one.pruned for one in samples)
    assert left == len(WORDS) * 2
    assert steps[-(LIMIT - AT) :] == [left] * (LIMIT - AT)
    assert steps[-LIMIT : AT - LIMIT] == [len(requests)] * AT
    assert sum(one.n_tokens for one in samples) == len(requests) * AT + left * (LIMIT - AT)


def test_nothing_is_pruned_where_the_context_ends_first(subject) -> None:
    model, requests, _ = subject
    longest = max(len(one.prompt) for one in requests)
    samples = draw_samples(model, requests, Drawing([], LIMIT, 3.0, longest + AT, pruning=Pruning(AT, 0.5)))
    assert not any(one.pruned for one in samples[WAVE * 2 : WAVE * 3])


def test_a_share_of_each_rows_partials_stays() -> None:
    partials = [(0, -1.0), (0, -3.0), (1, -9.0), (0, -2.0), (0, -4.0), (2, -1.0), (2, -1.0 + 1e-7), (2, -5.0)]
    assert survivors(partials, 0.5) == {0, 3, 2, 5}
    assert survivors(partials, 0.75) == {0, 1, 3, 2, 5, 6}
    assert survivors(partials, 0.01) == {0, 2, 5}
    assert len(survivors([(0, float(-place)) for place in range(100)], 0.29)) == 29
    assert survivors([], 0.5) == set()


def answer(text: str, pruned: bool = False) -> Answer:
    return Answer(text, 4, -1.0, pruned, pruned=pruned)


def test_a_pruned_answer_is_neither_right_nor_wrong() -> None:
    verdict = by_reference([answer("b"), answer("a", pruned=True), answer("a")], "a")
    assert verdict.passed == (False, None, True)
    assert verdict.scores == (0.0, 0.0, 1.0)
    assert verdict.accepted == 2
    assert by_reference([answer("a", pruned=True)], "a").accepted is None


def test_a_pruned_answer_neither_agrees_nor_differs() -> None:
    drawn = [answer("a"), answer("a"), answer("b", pruned=True), answer("a")]
    verdict = by_agreement(drawn, 1.0)
    assert verdict.scores == (1.0, 1.0, 0.0, 1.0)
    assert verdict.accepted == 0
    assert by_agreement([answer("a"), answer("a"), answer("a", pruned=True)], 0.6).accepted is None


START, END, RIGHT, WRONG = 0, 1, range(2, 8), range(8, 32)


def chain() -> PreTrainedModel:
    """Return a model whose next token depends on the last alone: a rare right answer, surely continued, and noise.

    From the start the right answer begins with probability 0.3; it goes on with 0.99 a token and ends after its last.
    Every other token is followed by any of the wrong ones, all alike.
    """
    size = WRONG.stop
    table = np.full((size, size), 1e-6)
    for before, after in zip(RIGHT, [*RIGHT[1:], END], strict=True):
        table[before, after] = 0.99
    table[START, RIGHT[0]] = 0.3
    table[np.ix_([START, END, *WRONG], list(WRONG))] = 1 / len(WRONG)
    table[START, list(WRONG)] = 0.7 / len(WRONG)
    config = LlamaConfig(
        vocab_size=size, hidden_size=size, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=False, rms_norm_eps=1e-9,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        # The norm makes a state √size long.
        logits = torch.tensor(np.log(table / table.sum(axis=1, keepdims=True)), dtype=torch.float32)
        model.lm_head.weight.copy_(logits.T / size**0.5)
    return model


def solved(model: PreTrainedModel, rows: int, pruning: Pruning | None) -> tuple[list[int | None], int, int]:
    """Return which sample each row accepts, the tokens drawn, and how many samples were pruned."""
    prompt = np.array([START], np.int64)

    def draw(pairs: Sequence[tuple[int, int]]) -> list[Answer]:
        requests = [Request(prompt, uniforms_of(0, str(row), number, 12), row) for row, number in pairs]
        samples = draw_samples(model, requests, Drawing([END], 12, 1.0, pruning=pruning))
        texts = [" ".join(map(str, one.ids)) for one in samples]
        return [
            Answer(text, one.n_tokens, one.mean_logp, one.stopped_early, pruned=one.pruned)
            for text, one in zip(texts, samples, strict=True)
        ]

    drawn = draw_adaptively([" ".join(map(str, RIGHT))] * rows, waves(8), draw, by_reference)
    answers = [one for row in drawn for one in row.answers]
    tokens, pruned = sum(one.n_tokens for one in answers), sum(one.pruned for one in answers)
    return [row.verdict.accepted for row in drawn], tokens, pruned


def test_a_right_answer_that_is_likelier_at_every_length_is_kept() -> None:
    model, rows = chain(), 60
    plain, tokens, none = solved(model, rows, None)
    kept, fewer, pruned = solved(model, rows, Pruning(3, 0.5))
    assert none == 0 < pruned
    assert kept == plain
    assert 0 < sum(one is not None for one in plain) < rows
    # A pruned sample costs three tokens in place of twelve; all are wrong, or right behind another right one.
    assert tokens - 9 * pruned <= fewer <= tokens - 4 * pruned
