"""Scoring agrees with float64 autograd, row by row, for any batch size."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import torch
from models import WORDS, save_llama
from references.scoring import signals_loop
from scoring import conversations, scored

from curate.engines.models.loading import load_pair
from curate.engines.score.config import ScoreConfig
from curate.engines.score.scorer import template_for
from curate.schemas.corpus import MESSAGES, Turn

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.engines.models.loading import LanguageModel, Pair


def in_float64(language_model: LanguageModel) -> PreTrainedModel:
    return copy.deepcopy(language_model.model).double()


def test_every_signal_agrees_with_the_loop(pair: Pair) -> None:
    batch, rate = conversations(), 1e-3
    rows = scored(pair, batch, probe_lr=rate)
    template = template_for(pair, ScoreConfig(probe_lr=rate))
    assert pair.original is not None
    original, compressed = in_float64(pair.original), in_float64(pair.compressed)
    for row, messages in zip(rows, batch.column("messages").to_pylist(), strict=True):
        turns = [Turn(m["role"], m["content"]) for m in messages]
        (encoded,) = template.encode_many([turns], None)
        ids, mask = list(map(int, encoded.ids)), list(map(bool, encoded.supervised))
        expected = signals_loop(original, compressed, ids, mask, rate)
        assert row["status"] == "ok"
        assert row["cds"] == pytest.approx(expected["cds"], abs=1e-5)
        assert row["nod"] == pytest.approx(expected["nod"], rel=1e-4)
        assert row["don"] == pytest.approx(expected["don"], rel=1e-4, abs=1e-9)
        for name in ("nll_original", "nll_compressed", "entropy", "el2n", "positive_excess", "unlikely_share"):
            assert row[name] == pytest.approx(expected[name], rel=1e-4), name


def test_a_row_longer_than_a_chunk_of_logits_scores_the_same(pair: Pair) -> None:
    batch = conversations(seed=5)
    for one, other in zip(scored(pair, batch), scored(pair, batch, chunk_tokens=2), strict=True):
        assert one["n_response_tokens"] > 2
        for name in ("cds", "don", "nod", "nll_compressed", "el2n"):
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-9), name


def test_scores_do_not_depend_on_the_padding_side(tmp_path: Path) -> None:
    results = []
    for side in ("left", "right"):
        model = save_llama(tmp_path / side, padding_side=side)
        results.append(scored(load_pair(None, str(model), device="cpu", dtype="float32"), conversations(seed=4)))
    assert results[0] == results[1]


def test_scores_do_not_depend_on_the_batch_size(pair: Pair) -> None:
    batch = conversations(seed=3)
    together, single = scored(pair, batch), scored(pair, batch, batch_tokens=1)
    for one, other in zip(together, single, strict=True):
        for name in ("cds", "nod", "nll_compressed"):
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=1e-6)


def test_rows_without_a_supervised_token_get_a_status(pair: Pair) -> None:
    messages = [[{"role": "user", "content": " ".join(WORDS * 9), "tool_call": False},
                 {"role": "assistant", "content": "yes", "tool_call": False}]]  # fmt: skip
    batch = pa.RecordBatch.from_arrays([pa.array(["a"]), pa.array(messages, MESSAGES)], ["example_id", "messages"])
    (row,) = scored(pair, batch, max_length=16)
    assert (row["status"], row["cds"], row["n_response_tokens"]) == ("no_response_tokens", None, 0)
    assert row["truncated"]


def test_non_finite_signals_are_named_in_the_status(tmp_path: Path) -> None:
    save_llama(tmp_path / "model")
    pair = load_pair(None, str(tmp_path / "model"), device="cpu", dtype="float32")
    with torch.no_grad():
        pair.compressed.model.get_input_embeddings().weight[5].fill_(float("nan"))
    statuses = {row["status"].partition(":")[0] for row in scored(pair, conversations())}
    assert "non_finite" in statuses


LONGEST = 12


@pytest.fixture(scope="module")
def without_bos(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = save_llama(tmp_path_factory.mktemp("models") / "model")
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "bos_token": None}))
    return load_pair(None, str(folder))


def questions(lengths: list[int]) -> pa.RecordBatch:
    """Return one conversation for each length of a question in words; the longer it is, the less of the answer fits."""
    rows = [
        [
            {"role": "user", "content": " ".join(WORDS[:length]), "tool_call": False},
            {"role": "assistant", "content": " ".join(WORDS[:9]), "tool_call": False},
        ]
        for length in lengths
    ]
    return pa.RecordBatch.from_arrays(
        [pa.array([f"{row:020x}" for row in range(len(rows))]), pa.array(rows, MESSAGES)], ["example_id", "messages"]
    )


def test_a_response_of_one_token_keeps_its_other_signals(without_bos: Any) -> None:
    plain = scored(without_bos, questions(list(range(1, LONGEST))), max_length=LONGEST, ifd=False)
    rows = scored(without_bos, questions(list(range(1, LONGEST))), max_length=LONGEST, ifd=True)
    counts = [row["n_response_tokens"] for row in rows]
    assert 1 in counts
    assert max(counts) > 1
    for row, without in zip(rows, plain, strict=True):
        assert (row["ifd"] is not None) == (row["n_response_tokens"] > 1)
        assert {**row, "ifd": None} == without
    assert all(row["status"] == "ok" for row in rows if row["n_response_tokens"] == 1)


def test_a_part_of_such_responses_only(without_bos: Any) -> None:
    rows = scored(without_bos, questions(list(range(1, LONGEST))), max_length=LONGEST, ifd=True)
    short = [row["n_response_tokens"] for row in rows].index(1) + 1
    (row,) = scored(without_bos, questions([short]), max_length=LONGEST, ifd=True)
    assert (row["status"], row["n_response_tokens"], row["ifd"]) == ("ok", 1, None)
    assert row["nll_compressed"] is not None
