"""The predicted activations of `--layers all` equal what autograd and the tape keep, counted tensor by tensor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from models import save_llama
from scoring import conversations
from transformers import AutoTokenizer

from curate.engines.models.loading import load_language_model
from curate.engines.score.all_layers import AllLayers
from curate.engines.score.config import ScoreConfig
from curate.engines.score.memory import model_size, saved_activations
from curate.engines.score.response_states import encode_rows
from curate.engines.tokens.templates import Template

if TYPE_CHECKING:
    from pathlib import Path

    from curate.engines.models.loading import LanguageModel
    from curate.engines.tokens.templates import Encoded


def save_deep(folder: Path) -> Path:
    """Save a model of six layers that shares the tiny one's tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    save_llama(folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    sizes = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 6, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **sizes)).save_pretrained(folder)
    return folder


def saved_bytes(model: LanguageModel, rows: list[Encoded]) -> int:
    """Return the bytes of all tensors alive between the forward and the backward pass, weights excluded."""
    all_layers = AllLayers(model)
    weights = {weight.untyped_storage().data_ptr() for weight in model.model.parameters()}
    alive: dict[int, torch.Tensor] = {}

    def record(tensor: torch.Tensor) -> torch.Tensor:
        if (address := tensor.untyped_storage().data_ptr()) not in weights:
            alive[address] = tensor
        return tensor

    for module in model.model.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda module, inputs, output: [record(output.detach())] and None)
    with torch.inference_mode(), torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        states, tape = all_layers.response_states(rows)
    for inputs in tape.inputs.values():
        record(inputs)
    return sum(tensor.untyped_storage().nbytes() for tensor in alive.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_saved_for_the_backward_pass_are_predicted(tmp_path: Path, dtype: torch.dtype) -> None:
    model = load_language_model(str(save_deep(tmp_path)), torch.device("cpu"), dtype)
    template = Template(AutoTokenizer.from_pretrained(tmp_path), "auto", ScoreConfig().max_length)
    rows = encode_rows(conversations(rows=16), template)
    tokens = len(rows) * max(len(row.ids) for row in rows)
    predicted = tokens * dtype.itemsize * saved_activations(model_size(str(tmp_path)), dtype.itemsize)
    assert predicted == pytest.approx(saved_bytes(model, rows), rel=0.05)
