"""Reference compression methods: Python loops over single weights, full forward passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORDS = "a b c d e f g h the cat dog runs sleeps on mat red blue one two three".split()
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<' + m['role'] + '> ' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant> ' }}{% endif %}"
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer of a few dozen ids with a chat template."""
    special = ["<pad>", "<s>", "</s>", "<unk>", "<user>", "<assistant>"]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *WORDS])}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=special[4:],
        chat_template=CHAT_TEMPLATE,
    )


def tiny_model(config: Any, seed: int = 0, spread: float = 0.2) -> PreTrainedModel:
    """Return a random float32 model whose layers have a measurable effect."""
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.train(False)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, spread)
    return model


def save_tiny(model: PreTrainedModel, folder: Path) -> Path:
    """Write a model with the tiny tokenizer."""
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def linears(model: PreTrainedModel, marker: str) -> dict[str, torch.Tensor]:
    """Return outputs × inputs weights of the linear modules whose path contains `marker`."""
    return {
        name: module.weight.data.T if isinstance(module, Conv1D) else module.weight.data
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and marker in name
    }


def lowest_loop(matrices: Sequence[torch.Tensor], k: int) -> list[torch.Tensor]:
    """Return keep-masks that drop the k lowest entries of all matrices, ties by matrix, row, column."""
    entries = []
    for m, matrix in enumerate(matrices):
        for i in range(matrix.shape[0]):
            for j in range(matrix.shape[1]):
                entries.append((float(matrix[i, j]), m, i, j))
    masks = [torch.ones_like(matrix, dtype=torch.bool) for matrix in matrices]
    for _, m, i, j in sorted(entries)[:k]:
        masks[m][i, j] = False
    return masks


def row_loop(scores: torch.Tensor, k: int) -> torch.Tensor:
    """Return the keep-mask that drops the k lowest of each row."""
    return torch.cat([lowest_loop([scores[i : i + 1]], k)[0] for i in range(len(scores))])


def group_loop(scores: torch.Tensor, kept: int, group: int) -> torch.Tensor:
    """Return the keep-mask of N:M sparsity."""
    mask = torch.ones_like(scores, dtype=torch.bool)
    for start in range(0, scores.shape[1], group):
        mask[:, start : start + group] = row_loop(scores[:, start : start + group], group - kept)
    return mask


def wanda_loop(
    model: PreTrainedModel,
    marker: str,
    rows: Sequence[torch.Tensor],
    sparsity: float | None,
    nm: tuple[int, int] | None,
) -> None:
    """Prune `model` by Wanda: for each layer run the whole model, record that layer's inputs and prune it."""
    names = list(linears(model, marker))
    prefixes = sorted({name[: name.index(".", len(marker) + name.index(marker))] for name in names}, key=_number)
    for prefix in prefixes:
        here = [name for name in names if name.startswith(prefix + ".")]
        inputs = _inputs(model, here, rows)
        for name in here:
            matrix = linears(model, marker)[name]
            scores = matrix.abs() * inputs[name].square().sum(0).sqrt().float()
            if nm:
                mask = group_loop(scores, *nm)
            else:
                mask = row_loop(scores, round((sparsity or 0) * matrix.shape[1]))
            matrix[~mask] = 0.0


def _number(prefix: str) -> int:
    return int(prefix.rpartition(".")[2])


def _inputs(model: PreTrainedModel, names: Sequence[str], rows: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen[name].append(inputs[0][0].double())
        )
        for name in names
    ]
    with torch.no_grad():
        for row in rows:
            model(row, use_cache=False)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(tensors) for name, tensors in seen.items()}


def influence_loop(model: PreTrainedModel, layers: nn.ModuleList, rows: Sequence[torch.Tensor]) -> list[float]:
    """Return 1 − mean cosine between what enters and what leaves each layer, token by token."""
    totals, n_tokens = [0.0] * len(layers), 0
    for row in rows:
        for index, (before, after) in enumerate(_states(model, layers, row)):
            for t in range(row.shape[1]):
                a, b = before[0, t].double(), after[0, t].double()
                totals[index] += float(a @ b / (a.norm() * b.norm()))
        n_tokens += row.shape[1]
    return [1 - total / n_tokens for total in totals]


def _states(
    model: PreTrainedModel, layers: nn.ModuleList, row: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    states: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        states.append((inputs[0], output))

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    with torch.no_grad():
        model(row, use_cache=False)
    for hook in hooks:
        hook.remove()
    return states


def skipping_logits(
    model: PreTrainedModel, layers: nn.ModuleList, removed: Sequence[int], row: torch.Tensor
) -> torch.Tensor:
    """Return the logits when the layers `removed` return their input unchanged."""
    hooks = [layers[i].register_forward_hook(lambda _, inputs, output: inputs[0]) for i in removed]
    with torch.no_grad():
        logits: torch.Tensor = model(row, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    return logits
