"""A quantised model is recovered by an adapter, since its weights cannot be trained, and is used together with it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
import torch
from models import WORDS, save_even
from scoring import conversations, scored

from curate.engines.evaluate import EvaluateConfig, evaluate, load_subject
from curate.engines.models.description import describe
from curate.engines.models.loading import load_model, load_pair
from curate.engines.recover import recover
from curate.engines.recover.training.loss import perplexity
from curate.engines.recover.training.rows import encode_rows
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.errors import GateError
from curate.schemas.evaluation import ITEMS
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROWS = [[Turn("user", " ".join(WORDS[i : i + 3])), Turn("assistant", WORDS[i])] for i in range(20)]
REQUEST = RecoveryRequest(merge=False, rank=2, batch=8, epochs=4, learning_rate=1e-2)
CPU = torch.device("cpu")


@pytest.fixture(params=[4, 8])
def quantised(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a model quantised to 4 or 8 bits by bitsandbytes on the CPU; the dense one is beside it."""
    pytest.importorskip("bitsandbytes")
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dense, out = save_even(tmp_path / "dense"), tmp_path / "quantised"
    settings = BitsAndBytesConfig(load_in_4bit=request.param == 4, load_in_8bit=request.param == 8)
    model = AutoModelForCausalLM.from_pretrained(
        dense, quantization_config=settings, device_map={"": "cpu"}, dtype=torch.float32
    )
    shutil.copytree(dense, out, ignore=shutil.ignore_patterns("*.safetensors"))
    model.save_pretrained(out)
    return out


def test_a_quantised_model_is_recovered_by_an_adapter_and_used_with_it(quantised: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="add --no-merge to keep it separate"):
        recover(quantised, ROWS, tmp_path / "out", RecoveryRequest())
    report = recover(quantised, ROWS, tmp_path / "out", REQUEST, heldout=ROWS[:6])
    assert report["method"] == "lora"
    assert "quantised (bitsandbytes " in report["reason"]
    assert report["perplexity_after"] < 0.9 * report["perplexity_before"]
    assert report["warnings"] == []
    assert not report["merged"]

    adapter = tmp_path / "out" / "adapter"
    subject = load_subject(str(adapter), device="cpu")
    template = Template(subject.tokenizer, "auto", report["max_length"])
    # Merging into so few bits would lose a part of the training to rounding.
    assert perplexity(subject.model, encode_rows(template, ROWS[:6])[0], 4096) == pytest.approx(
        report["perplexity_after"], rel=1e-4
    )
    assert subject.model.config.quantization_config is not None
    assert not any(one.requires_grad for one in subject.model.parameters())

    dense = str(tmp_path / "dense")
    pair = load_pair(dense, str(adapter), device="cpu", dtype="float32")
    assert describe(pair.compressed)["quantised"] == "bitsandbytes"
    base = scored(load_pair(dense, str(quantised), device="cpu", dtype="float32"), conversations())
    for row, before in zip(scored(pair, conversations()), base, strict=True):
        assert row["status"] == "ok"
        assert row["nll_original"] == before["nll_original"]
        assert row["cds"] > 2 * before["cds"]

    with torch.no_grad():
        ids = torch.from_numpy(template.encode(ROWS[0]).ids)[None]
        expected = pair.compressed.model(ids, use_cache=False).logits[0].argmax(-1)
    messages = [{"role": turn.role, "content": turn.content, "tool_call": False} for turn in ROWS[0]]
    item = {"item_id": "i", "task": "t", "kind": "rows", "group": "g", "messages": messages, "references": []}
    items = pa.RecordBatch.from_pylist([{**item, "answer": None, "chance": 0.0}], schema=ITEMS)
    (answer,) = next(evaluate([items], subject, EvaluateConfig())).to_pylist()
    supervised = template.encode(ROWS[0]).supervised
    right = (expected[:-1] == ids[0, 1:]).numpy()[supervised[1:]]
    assert answer["token_accuracy"] == pytest.approx(right.mean())
    with pytest.raises(GateError, match="recover the base itself with --method lora --no-merge"):
        recover(adapter, ROWS, tmp_path / "next", REQUEST)
    assert load_model(quantised, CPU, None).config.quantization_config is not None
