"""Paths of layers: what `curate diagnose paths` prints can be removed, and nothing else is taken for a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from references.compress import save_tiny
from references.width import random_model
from transformers import AutoModelForCausalLM

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.layer_path import parse_path, removed_by_path
from curate.schemas.errors import UsageError
from curate.selectors.search.path_votes import path_text

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("path", [(0,), (0, 1, 2, 5), (1, 3, 4, 7, 8, 9), tuple(range(30))])
def test_a_printed_path_is_read_again(path: tuple[int, ...]) -> None:
    assert parse_path(path_text(path)) == list(path)


def test_spaces_and_dashes_of_a_text_are_taken() -> None:
    assert parse_path(" 0–2, 5 ") == [0, 1, 2, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is none"),
        ("0-", "'0-' is none"),
        ("0,two", "'two' is none"),
        ("-1", "'-1' is none"),
        ("0-3,3-5", "does not ascend at '3-5'; a layer can be left out, not repeated"),
        ("4,0-2", "does not ascend at '0-2'"),
        ("5-3", "does not ascend at '5-3'"),
    ],
)
def test_what_is_no_path_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_path(text)


def test_the_layers_left_out_are_removed() -> None:
    assert removed_by_path("0-1,4", 6) == [2, 3, 5]


def test_the_folder_computes_the_path_without_calibration(tmp_path: Path) -> None:
    source = save_tiny(random_model("llama", seed=5), tmp_path / "source")
    report = compress(source, tmp_path / "out", CompressionRequest("blocks", path="0,2"))
    assert (report["layers_removed"], report["by"], report["calibration_rows"]) == ([1], "path", 0)
    whole, shorter = (AutoModelForCausalLM.from_pretrained(tmp_path / name) for name in ("source", "out"))
    # A layer that passes its input on is what a path skips.
    whole.model.layers[1].forward = lambda hidden, **_: hidden
    row = torch.tensor([[3, 4, 5, 6]])
    with torch.no_grad():
        assert torch.equal(whole(row, use_cache=False).logits, shorter(row, use_cache=False).logits)
