"""Seconds and peak memory of the training losses in chunks of tokens, relative to the logits of a whole batch at once.

    python benchmarks/recovery_memory.py [--model FOLDER] [--tokens 4096] [--loss ce|kl|both] [--json FILE]
    python benchmarks/recovery_memory.py --vocabulary 262144   # a small body of random weights
    python benchmarks/recovery_memory.py --tiny                # to check that it runs

Claim: at most 1.1 times the seconds. Both sides run in one process in turn, on the same batch of rows whose second half
is supervised; `--whole` also trains the output head. Seconds are those of the processor on a CPU, the least of
`--repeats`; the peak is that of the process (Linux, which can reset it) or of the device. `--alone` leaves out the
whole logits, where they do not fit.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig

from curate.engines.models.loading import load_model
from curate.engines.models.output_head import hidden_states, output_head
from curate.engines.recover.methods.attach import attach
from curate.engines.recover.training.distillation import DistillationLoss
from curate.engines.recover.training.loss import response_logits, response_loss
from curate.engines.recover.training.rows import make_batch
from curate.engines.score.reduction import ResponseStates
from curate.engines.tokens.templates import Encoded
from curate.schemas.peak_memory import peak_memory
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from transformers import PreTrainedModel

    from curate.engines.recover.training.rows import Batch

WEIGHTS = {"ce": 0.0, "both": 0.5, "kl": 1.0}


def random_model(vocabulary: int, device: torch.device) -> PreTrainedModel:
    """Return a model of two layers of the width of Gemma 3 270M, with tied embeddings."""
    sizes = {"hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    with device:
        config = LlamaConfig(vocab_size=vocabulary, **sizes, tie_word_embeddings=True)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-any-return]


def random_batch(tokens: int, length: int, vocabulary: int, device: torch.device) -> Batch:
    """Return a batch of rows of random tokens, the second half of each supervised."""
    rng = np.random.default_rng(0)
    rows = [Encoded(rng.integers(0, vocabulary, length), np.arange(length) >= length // 2)] * (tokens // length)
    return make_batch(rows, device)


def whole_logits(model: PreTrainedModel, batch: Batch, teacher: Tensor, weight: float) -> Tensor:
    """Return the loss with the logits of the whole batch in memory: the plain form."""
    states = hidden_states(model, batch.ids).flatten(0, 1)[batch.positions]
    logits = response_logits(model, states)
    nll = functional.cross_entropy(logits, batch.targets, reduction="sum")
    if not weight:
        return nll
    with torch.no_grad():
        log_p = output_head(model).logits(teacher).log_softmax(-1)
    divergence = functional.kl_div(logits.log_softmax(-1), log_p, reduction="sum", log_target=True)
    return (1 - weight) * nll + weight * divergence


def in_chunks(model: PreTrainedModel, batch: Batch, teacher: Tensor, weight: float) -> Tensor:
    """Return the same loss as training computes it."""
    if not weight:
        return response_loss(model, batch)
    states = ResponseStates(output_head(model), teacher)
    return DistillationLoss(lambda _: states, weight)(model, batch)


def measure(loss: Callable[[], Tensor], device: torch.device) -> dict[str, Any]:
    """Return seconds and peak bytes of one forward and backward pass."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    started = clock()
    value = loss()
    value.backward()
    total = value.item()
    seconds = clock() - started
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory()
    return {"seconds": seconds, "peak": int(peak), "loss": total}


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both sides in turn and return the least seconds and the largest peak of each, and the ratios."""
    device = torch.device("cuda" if torch.cuda.is_available() and not options.cpu else "cpu")
    if options.model is None:
        model = random_model(options.vocabulary, device)
    else:
        model = load_model(options.model, device, torch.float32)
    model.config.use_cache = False
    method = "full" if options.whole else "lora"
    attach(model, method, RecoveryRequest(method=method)).model.train()
    vocabulary = output_head(model).vocabulary
    batch = random_batch(options.tokens, options.length, vocabulary, device)
    teacher = torch.randn(len(batch.targets), output_head(model).weight.shape[1], device=device)
    sides = {"chunks": in_chunks} if options.alone else {"chunks": in_chunks, "whole": whole_logits}
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for _ in range(options.repeats):
        for name, side in sides.items():
            torch.manual_seed(0)
            taken[name].append(measure(lambda side=side: side(model, batch, teacher, WEIGHTS[options.loss]), device))
            model.zero_grad()
    result: dict[str, Any] = {"device": str(device), "loss": options.loss, "supervised": len(batch.targets)}
    for name, values in taken.items():
        result[name] = {key: pick(one[key] for one in values) for key, pick in (("seconds", min), ("peak", max))}
        result[name]["loss"] = values[0]["loss"]
    if not options.alone:
        result["ratio_seconds"] = result["chunks"]["seconds"] / result["whole"]["seconds"]
        result["ratio_peak"] = result["chunks"]["peak"] / result["whole"]["peak"]
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--vocabulary", type=int, default=262_144)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--loss", choices=WEIGHTS, default="ce")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    for flag in ("--whole", "--alone", "--cpu", "--tiny"):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args()
    if options.tiny:
        options.vocabulary, options.tokens, options.repeats = 4096, 1024, 1
    result = compare(options)
    text = json.dumps(result, indent=2)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
