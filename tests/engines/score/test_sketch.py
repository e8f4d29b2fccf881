"""Sketches estimate the inner products of exact gradients, which autograd computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from models import save_llama
from scoring import conversations

from curate.engines.models.loading import load_pair
from curate.engines.models.output_head import OutputHead
from curate.engines.score.config import ScoreConfig
from curate.engines.score.reduction import ResponseStates, response_signals
from curate.engines.score.scorer import score, template_for
from curate.engines.score.sketch import mean_states, sketch_rows, sketch_tables
from curate.schemas.corpus import Turn
from curate.schemas.errors import UsageError
from curate.schemas.scores import SCORES

if TYPE_CHECKING:
    from pathlib import Path

    from curate.engines.models.loading import Pair

VOCABULARY, WIDTH, LENGTHS = 150, 12, (5, 1, 9)


def problem(softcap: float | None = None, scale: float = 1.0) -> tuple[ResponseStates, ResponseStates, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    heads = [OutputHead(torch.randn(VOCABULARY, WIDTH, generator=draw), None, scale, softcap) for _ in range(2)]
    own, other = (ResponseStates(head, torch.randn(sum(LENGTHS), WIDTH, generator=draw)) for head in heads)
    return own, other, torch.randint(0, VOCABULARY, (sum(LENGTHS),), generator=draw)


def exact_gradients(own: ResponseStates, other: ResponseStates) -> torch.Tensor:
    """∂(mean KL)/∂W of every example by autograd in float64, (n, V, d)."""
    gradients = []
    for mine, theirs in zip(own.hidden.split(list(LENGTHS)), other.hidden.split(list(LENGTHS)), strict=True):
        weight = own.head.weight.double().requires_grad_()
        cap, scale = own.head.softcap, own.head.scale
        z = mine.double() @ weight.T * scale
        z = z if cap is None else torch.tanh(z / cap) * cap
        q = torch.softmax(other.head.logits(theirs).double(), -1)
        divergence = (q * (q.log() - torch.log_softmax(z, -1))).sum(-1).mean()
        gradients.append(torch.autograd.grad(divergence, weight)[0])
    return torch.stack(gradients)


@pytest.mark.parametrize(("softcap", "scale"), [(None, 1.0), (4.0, 1.0), (None, 0.5)])
def test_inner_products_are_those_of_the_exact_gradients_in_the_mean(softcap: float | None, scale: float) -> None:
    own, other, targets = problem(softcap, scale)
    exact = exact_gradients(own, other).flatten(1)
    expected = (exact @ exact.T).numpy()
    products = []
    for seed in range(200):
        tables = sketch_tables(VOCABULARY, WIDTH, torch.device("cpu"), seed)
        found = response_signals(own, targets, LENGTHS, 512, other, tables=tables).sketches
        assert found is not None
        products.append((found.double() @ found.double().T).numpy())
    mean, error = np.mean(products, 0), np.std(products, 0) / np.sqrt(len(products))
    assert (np.abs(mean - expected) < 4.5 * error + 1e-9).all()
    # The test would notice a bias of a tenth of a squared length.
    assert (error.diagonal() < 0.04 * expected.diagonal()).all()


def test_a_sketch_is_the_projection_of_the_gradient_and_chunks_do_not_change_it() -> None:
    own, other, targets = problem()
    tables = sketch_tables(VOCABULARY, WIDTH, torch.device("cpu"))
    buckets = torch.zeros(VOCABULARY, 64, dtype=torch.float64)
    buckets[torch.arange(VOCABULARY), torch.arange(VOCABULARY) % 64] = tables.signs.double()
    expected = torch.einsum("vk,nvd,dj->nkj", buckets, exact_gradients(own, other), tables.projection.double())
    for chunk in (512, 7, 2):
        found = response_signals(own, targets, LENGTHS, chunk, other, tables=tables).sketches
        assert found is not None
        torch.testing.assert_close(found.double(), expected.flatten(1), rtol=1e-4, atol=1e-6)


def test_signs_depend_on_id_and_seed_alone() -> None:
    small, large = (sketch_tables(size, 8, torch.device("cpu")).signs for size in (1000, 1064))
    assert torch.equal(small, large[:1000])
    assert not torch.equal(small, sketch_tables(1000, 8, torch.device("cpu"), 1).signs)
    assert abs(float(small.mean())) < 0.1
    # The sum of products of two ids over seeds is about 0: signs are not a function of each other.
    many = torch.stack([sketch_tables(40, 8, torch.device("cpu"), seed).signs for seed in range(400)])
    assert float((many.T @ many / 400).fill_diagonal_(0).abs().max()) < 0.25


def test_later_tokens_weigh_more_in_the_mean_state() -> None:
    states = torch.randn(2, 4, 3)
    found = mean_states(states, [4, 2])
    torch.testing.assert_close(found[0], (states[0] * torch.tensor([1.0, 2, 3, 4]).unsqueeze(1)).sum(0) / 10)
    torch.testing.assert_close(found[1], (states[1, 0] + 2 * states[1, 1]) / 3)


def test_scoring_adds_the_vectors_and_changes_no_score(pair: Pair) -> None:
    batch = conversations()
    (plain,) = score([batch], pair, ScoreConfig())
    (sketched,) = score([batch], pair, ScoreConfig(sketch=True))
    (small,) = score([batch], pair, ScoreConfig(sketch=True, batch_tokens=1, chunk_tokens=3))
    assert sketched.select(SCORES.names).equals(plain)
    template = template_for(pair, ScoreConfig())
    vocabulary, width = pair.compressed.head.weight.shape
    tables = sketch_tables(vocabulary, width, torch.device("cpu"))
    assert pair.original is not None
    for row, other, messages in zip(
        sketched.to_pylist(), small.to_pylist(), batch.column("messages").to_pylist(), strict=True
    ):
        (item,) = template.encode_many([[Turn(m["role"], m["content"]) for m in messages]], None)
        with torch.no_grad():
            mine, theirs = (
                one.model.base_model(torch.from_numpy(item.ids)[None]).last_hidden_state[0]
                for one in (pair.compressed, pair.original)
            )
            places = torch.from_numpy(np.flatnonzero(item.supervised) - 1)
            p, q = (
                torch.softmax(one.head.logits(states[places]), -1)
                for one, states in ((pair.compressed, mine), (pair.original, theirs))
            )
            padded = torch.nn.functional.pad((p - q) * tables.signs, (0, -p.shape[1] % 64))
            expected = sketch_rows(padded.unflatten(1, (-1, 64)).sum(1), mine[places], [len(places)], tables)[0]
            state = mean_states(mine[None], [len(item.ids)])[0]
        assert row["sketch_norm"] == pytest.approx(float(expected.norm()), rel=1e-3)
        np.testing.assert_allclose(row["sketch"], expected / expected.norm(), atol=2e-3)
        np.testing.assert_allclose(other["sketch"], row["sketch"], atol=2e-3)
        np.testing.assert_allclose(row["state"], state / state.norm(), atol=2e-3)


def test_a_single_model_has_states_and_no_sketches(tmp_path: Path) -> None:
    pair = load_pair(None, str(save_llama(tmp_path / "model")), device="cpu", dtype="float32")
    (table,) = score([conversations()], pair, ScoreConfig(sketch=True))
    assert table.column("sketch").null_count == len(table)
    assert table.column("state").null_count == 0


def test_what_has_no_sketch_is_refused() -> None:
    with pytest.raises(UsageError, match="leave out --layers all"):
        ScoreConfig(sketch=True, layers="all")
    with pytest.raises(UsageError, match="--teacher-cache exact"):
        ScoreConfig(sketch=True, teacher_top=8)
