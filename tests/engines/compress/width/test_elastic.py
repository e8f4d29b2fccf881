"""Sorted folders and slices of them, written and loaded by transformers alone."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, save_tiny
from references.width import random_model
from transformers import AutoModelForCausalLM

from curate.engines.compress import CompressionRequest, compress
from curate.engines.compress.width.elastic import ELASTIC
from curate.schemas.corpus import Turn
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

ROW = torch.tensor([[1, 4, 7, 9, 12, 2]])
CALIBRATION = [[Turn("user", " ".join(WORDS[i : i + 5])), Turn("assistant", WORDS[i + 3])] for i in range(12)]


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = AutoModelForCausalLM.from_pretrained(folder)(ROW).logits
    return result


def run(source: Path, out: Path, method: Any, **how: Any) -> dict[str, Any]:
    request = CompressionRequest(method, **how)
    return compress(source, out, request, calibration=CALIBRATION if request.needs_calibration else None)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Return the folders of a model, of the model sorted, and of its first half."""
    names = ("whole", "sorted", "half")
    result = {name: tmp_path / name for name in names}
    save_tiny(random_model("llama", seed=5), result["whole"])
    run(result["whole"], result["sorted"], "sort")
    run(result["sorted"], result["half"], "truncate", sparsity=0.5)
    return result


def test_sorting_is_the_same_function_in_order_of_importance(folders: dict[str, Path]) -> None:
    torch.testing.assert_close(logits(folders["sorted"]), logits(folders["whole"]), rtol=1e-5, atol=1e-5)
    described = json.loads((folders["sorted"] / ELASTIC).read_text())
    assert described["order"] == "wanda"
    for layer in described["layers"]:
        assert layer["importance"] == sorted(layer["importance"], reverse=True)
        assert len(layer["importance"]) == 24
        assert layer["kept_energy"]["1.0"] == 1.0
        squares = [value**2 for value in layer["importance"]]
        assert layer["kept_energy"]["0.5"] == pytest.approx(sum(squares[:12]) / sum(squares))


def test_a_truncated_model_is_the_narrowed_one(folders: dict[str, Path], tmp_path: Path) -> None:
    report = run(folders["whole"], tmp_path / "narrow", "width", sparsity=0.5)
    torch.testing.assert_close(logits(folders["half"]), logits(tmp_path / "narrow"), rtol=1e-5, atol=1e-5)
    half = json.loads((folders["half"] / ELASTIC).read_text())
    assert [len(layer["importance"]) for layer in half["layers"]] == [report["widths_after"]] * 3


def test_a_truncated_model_can_be_truncated_again(folders: dict[str, Path], tmp_path: Path) -> None:
    report = run(folders["half"], tmp_path / "less", "truncate", sparsity=0.5, multiple=1)
    direct = run(
        folders["sorted"], tmp_path / "direct", "truncate", sparsity=1 - report["widths_after"] / 24, multiple=1
    )
    assert report["widths_after"] == direct["widths_after"]
    torch.testing.assert_close(logits(tmp_path / "less"), logits(tmp_path / "direct"))


def test_the_folders_are_ordinary_and_smaller(folders: dict[str, Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(folders["half"])
    assert model.config.intermediate_size == model.model.layers[0].mlp.down_proj.in_features < 24
    size = {name: (folder / "model.safetensors").stat().st_size for name, folder in folders.items()}
    removed = 3 * 3 * 16 * (24 - model.config.intermediate_size) * 4  # layers · matrices · hidden · channels · bytes
    assert size["whole"] - size["half"] == pytest.approx(removed, abs=600)  # the header names shapes


def test_equal_inputs_give_equal_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    run(folders["whole"], tmp_path / "again", "sort")
    for file in ("model.safetensors", ELASTIC, "config.json"):
        digests = [
            hashlib.sha256((folder / file).read_bytes()).digest() for folder in (folders["sorted"], tmp_path / "again")
        ]
        assert digests[0] == digests[1], file


def test_a_model_that_is_not_sorted_cannot_be_truncated(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"has no {ELASTIC}, so its channels are not sorted"):
        run(folders["whole"], tmp_path / "out", "truncate", sparsity=0.5)


def test_an_order_of_another_width_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    run(folders["sorted"], tmp_path / "narrow", "width", sparsity=0.5)
    with pytest.raises(InputError, match="describes another model"):
        run(tmp_path / "narrow", tmp_path / "out", "truncate", sparsity=0.5, multiple=1)


@pytest.mark.parametrize(
    ("method", "how", "message"),
    [
        ("sort", {"sparsity": 0.5}, "'sort' removes nothing"),
        ("sort", {"compensate": True}, "cannot compensate"),
        ("truncate", {}, "needs the share of the channels"),
        ("width", {"sparsity": 1.5}, "1.5"),
        ("width", {"pattern": "2:4"}, "takes no pattern"),
        ("width", {"sparsity": 0.5, "order": "wand"}, "order 'wand' is not known, did you mean 'wanda'"),
        ("width", {"sparsity": 0.5, "multiple": 0}, "multiple 0 is not positive"),
    ],
)
def test_requests_that_make_no_sense_are_refused(method: Any, how: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CompressionRequest(method, **how)
