"""Layer-wise reconstruction: lower errors against the original, frozen zeros, resuming, and refused pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, tiny_model, tiny_tokenizer
from transformers import LlamaConfig

from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.models.projections import decoder_layers
from curate.engines.recover import Observer
from curate.engines.recover.methods.reconstruction import reconstruct
from curate.engines.recover.methods.sparsity import nonzero_masks, share_of_zeros, verify_zeros
from curate.engines.recover.observer import Interrupted
from curate.engines.recover.training.rows import encode_rows
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.engines.tokens.templates import Encoded


def llama(**changes: Any) -> LlamaConfig:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return LlamaConfig(**{**sizes, **heads, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **changes})


def conversations(n: int = 16) -> list[list[Turn]]:
    words = [*WORDS, *WORDS]
    return [[Turn("user", " ".join(words[i : i + 3])), Turn("assistant", words[i])] for i in range(n)]


def rows(n: int = 16) -> list[Encoded]:
    return encode_rows(Template(tiny_tokenizer(), "auto", 64), conversations(n))[0]


def pruned() -> PreTrainedModel:
    model = tiny_model(llama())
    prune_magnitude(model, sparsity=0.5)
    return model


def states_after(model: PreTrainedModel, row: Encoded) -> list[torch.Tensor]:
    """Return the output of each layer, by hooks on whole forward passes."""
    outputs: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda _, __, out: outputs.append(out)) for layer in decoder_layers(model)[1]]
    with torch.no_grad():
        model(torch.from_numpy(row.ids)[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    return outputs


def errors(model: PreTrainedModel, original: PreTrainedModel) -> list[float]:
    pairs = [(states_after(model, row), states_after(original, row)) for row in rows()]
    return [
        sum(float((a[i] - b[i]).square().sum()) for a, b in pairs) / sum(float(b[i].square().sum()) for _, b in pairs)
        for i in range(3)
    ]


def test_reconstruction_reduces_every_layers_error_and_keeps_its_zeros() -> None:
    original, model = tiny_model(llama()), pruned()
    masks, before = nonzero_masks(model), errors(model, original)
    progress: list[tuple[int, int]] = []
    observer = Observer(on_layer=lambda done, layers: progress.append((done, layers)))
    reported = reconstruct(model, original, rows(), 0, observer=observer)
    after = errors(model, original)
    # The first layer's input is the same in both models, so that its error before is that of the pruned model.
    assert reported[0]["before"] == pytest.approx(before[0], rel=1e-4)
    assert [one["after"] for one in reported] == pytest.approx(after, rel=1e-4)
    assert all(a < 0.8 * b for a, b in zip(after, before, strict=True))
    assert all(one["after"] < one["before"] for one in reported)
    verify_zeros(model, masks)
    assert share_of_zeros(model) == pytest.approx(0.5)
    assert progress == [(1, 3), (2, 3), (3, 3)]
    assert not any(one.requires_grad for layer in decoder_layers(model)[1] for one in layer.parameters())


def test_a_stopped_reconstruction_resumes_to_the_same_weights(tmp_path: Path) -> None:
    original, uninterrupted, interrupted = tiny_model(llama()), pruned(), pruned()
    expected = reconstruct(uninterrupted, original, rows(), 0)
    answers = iter([False, False, True])
    observer = Observer(should_stop=lambda: next(answers))
    with pytest.raises(Interrupted, match="stopped before layer 3 of 3"):
        reconstruct(interrupted, original, rows(), 0, folder=tmp_path, observer=observer)
    resumed = pruned()
    assert reconstruct(resumed, original, rows(), 0, folder=tmp_path) == expected
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), uninterrupted.parameters(), strict=True))


def test_layers_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(UsageError, match="has 3 where the original has 2"):
        reconstruct(pruned(), tiny_model(llama(num_hidden_layers=2)), rows(), 0)
