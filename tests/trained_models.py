"""Trains tiny models to give chosen answers, so that a test can plant what a diagnosis must find."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def train_answers(folder: Path, rows: Sequence[tuple[str, str]], *, steps: int = 150, rate: float = 0.01) -> float:
    """Train the model of a folder to give an answer to each prompt, and save it; return the last mean loss in nats."""
    import torch
    from transformers import AutoModelForCausalLM

    from curate.engines.models.tokenizers import load_tokenizer
    from curate.engines.tokens.batching import pad_right
    from curate.engines.tokens.templates import Template
    from curate.schemas.corpus import Turn

    template = Template(load_tokenizer(folder), "auto", 64)
    encoded = template.encode_many([(Turn("user", prompt), Turn("assistant", answer)) for prompt, answer in rows])
    ids = pad_right([row.ids for row in encoded])
    labels = torch.full_like(ids, -100)
    for index, row in enumerate(encoded):
        kept = torch.from_numpy(row.supervised).nonzero()[:, 0]
        labels[index, kept] = ids[index, kept]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    optimizer = torch.optim.Adam(model.parameters(), rate)
    last = float("nan")
    for _ in range(steps):
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = loss.item()
    model.save_pretrained(folder)
    return last


def insert_random_layer(folder: Path, place: int, seed: int) -> None:
    """Insert a decoder layer of large random weights before layer `place` of a model's folder."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = AutoConfig.from_pretrained(folder)
    config.num_hidden_layers += 1
    longer = AutoModelForCausalLM.from_config(config)
    longer.model.embed_tokens, longer.model.norm, longer.lm_head = (
        model.model.embed_tokens,
        model.model.norm,
        model.lm_head,
    )
    kept = [index for index in range(config.num_hidden_layers) if index != place]
    for index, layer in zip(kept, model.model.layers, strict=True):
        longer.model.layers[index].load_state_dict(layer.state_dict())
    torch.manual_seed(seed)
    for parameter in longer.model.layers[place].parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    longer.save_pretrained(folder)
