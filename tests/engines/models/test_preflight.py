"""Mismatched models are rejected on the basis of their files alone."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from models import WORDS, save_llama

from curate.engines.models.preflight import check_models, vocabulary
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return save_llama(tmp_path / "original")


def test_a_matching_pair_passes(original: Path, tmp_path: Path) -> None:
    other = save_llama(tmp_path / "other", seed=1)
    check_models(str(original), str(other))
    check_models(None, str(other))
    assert vocabulary(original) == 4 + len(WORDS)


def test_a_compressed_model_needs_no_tokenizer_of_its_own(original: Path, tmp_path: Path) -> None:
    bare = save_llama(tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink()
    check_models(str(original), str(bare))
    with pytest.raises(InputError, match=r"has no tokenizer; copy"):
        check_models(None, str(bare))


def test_a_vocabulary_mismatch_names_both_sizes(original: Path, tmp_path: Path) -> None:
    wide = save_llama(tmp_path / "wide", extra_rows=3)
    with pytest.raises(InputError, match=rf"{7 + len(WORDS)} ids .* {4 + len(WORDS)}; give"):
        check_models(str(original), str(wide))


def test_the_vocabulary_of_tied_embeddings_comes_from_the_configuration(original: Path) -> None:
    config = json.loads((original / "config.json").read_text())
    weights = (original / "model.safetensors").read_bytes()
    (original / "model.safetensors").write_bytes(weights.replace(b"lm_head.weight", b"xx_head.weight"))
    assert vocabulary(original) == config["vocab_size"]


def test_a_tokenizer_mismatch_names_the_ids(original: Path, tmp_path: Path) -> None:
    other = save_llama(tmp_path / "other", words=[*WORDS[:-1], "maybe"])
    with pytest.raises(InputError, match=r"differ in 1 ids: id \d+ is 'no' against 'maybe'"):
        check_models(str(original), str(other))


def test_truncated_weights_are_rejected(original: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    shutil.copytree(original, short)
    weights = (short / "model.safetensors").read_bytes()
    (short / "model.safetensors").write_bytes(weights[:-5])
    with pytest.raises(InputError, match=r"model.safetensors' cannot be read .*; copy it again"):
        check_models(str(original), str(short))
