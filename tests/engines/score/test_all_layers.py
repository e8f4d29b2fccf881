"""DON and NOD over all linear layers agree with one autograd gradient per layer and example, for any batch size."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.scoring import all_layers_loop
from scoring import conversations, scored

from curate.engines.score.config import ScoreConfig
from curate.engines.score.response_states import encode_rows
from curate.engines.score.scorer import template_for
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from curate.engines.models.loading import Pair

RATE = 1e-2


def untied_in_float64(pair: Pair) -> Any:
    """Return the compressed model with an untied output head, so that the embedding's gradient does not count."""
    model = copy.deepcopy(pair.compressed.model).double().requires_grad_(True)
    head = model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    return model


def test_all_layers_agree_with_the_loop(pair: Pair) -> None:
    batch, config = conversations(), ScoreConfig(probe_lr=RATE, layers="all")
    model = untied_in_float64(pair)
    rows = scored(pair, batch, probe_lr=RATE, layers="all")
    for row, encoded in zip(rows, encode_rows(batch, template_for(pair, config)), strict=True):
        expected = all_layers_loop(model, encoded.ids.tolist(), encoded.supervised.tolist(), RATE)
        assert row["nod"] == pytest.approx(expected["nod"], rel=1e-4)
        assert row["don"] == pytest.approx(expected["don"], rel=1e-3, abs=1e-8)


def test_the_other_signals_do_not_change(pair: Pair) -> None:
    batch = conversations(seed=2)
    for one, other in zip(scored(pair, batch, layers="all"), scored(pair, batch), strict=True):
        for name in ("cds", "nll_compressed", "nll_original", "entropy", "el2n"):
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6)
        assert one["nod"] > other["nod"]


def test_results_do_not_depend_on_batch_or_chunk_size(pair: Pair) -> None:
    batch = conversations(seed=3)
    reference = scored(pair, batch, layers="all", probe_lr=RATE)
    for changes in ({"batch_tokens": 1}, {"chunk_tokens": 2}):
        for one, other in zip(reference, scored(pair, batch, layers="all", probe_lr=RATE, **changes), strict=True):
            assert one["nod"] == pytest.approx(other["nod"], rel=1e-4)
            assert one["don"] == pytest.approx(other["don"], rel=1e-3, abs=1e-8)


def test_unknown_layers_are_rejected() -> None:
    with pytest.raises(UsageError, match="output, all"):
        ScoreConfig(layers="some")  # type: ignore[arg-type]
