"""Cost of `mask_lora` relative to `lora` on a GPU: an 8-billion-parameter Llama of random weights, half of them zero.

    python benchmarks/recovery_gpu.py [--steps 8] [--length 1024] [--batch 16] [--json FILE]
    python benchmarks/recovery_gpu.py --tiny          # a small model on a CPU, to check that it runs

Claim: at most 1.3 times the seconds per step. Both methods train on the same rows in one process, in bfloat16 with
gradient checkpointing; the ratio is that of median seconds per step after two warm-up steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from curate.engines.recover.methods.attach import attach
from curate.engines.recover.results.report import peak_memory
from curate.engines.recover.training.loop import train
from curate.engines.tokens.templates import Encoded
from curate.schemas.recovery import RecoveryMethod, RecoveryRequest

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGE = {
    "vocab_size": 128_256, "hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
    "num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 8192,
}  # fmt: skip
TINY = {
    "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 8192,
}  # fmt: skip
WARM_UP_STEPS = 2


def sparse_model(sizes: dict[str, int], device: torch.device, dtype: torch.dtype) -> PreTrainedModel:
    """Return a model of random weights, half of the weights of its projections zero, at random."""
    torch.manual_seed(0)
    with device:
        model: PreTrainedModel = AutoModelForCausalLM.from_config(LlamaConfig(**sizes), dtype=dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "_proj" in name:
                weight.mul_(torch.rand(weight.shape, device=device) < 0.5)
    model.config.use_cache = False
    return model


def random_rows(n: int, length: int, vocabulary: int) -> list[Encoded]:
    """Return rows of random tokens, the second half of each supervised."""
    rng = np.random.default_rng(0)
    supervised = np.arange(length) >= length // 2
    return [Encoded(rng.integers(0, vocabulary, length), supervised) for _ in range(n)]


def measure(method: RecoveryMethod, options: argparse.Namespace) -> dict[str, Any]:
    """Train a few steps and return speed and memory."""
    device = torch.device("cpu" if options.tiny else "cuda")
    dtype = torch.float32 if options.tiny else torch.bfloat16
    sizes = TINY if options.tiny else LARGE
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    rows = random_rows(options.batch * (options.steps + WARM_UP_STEPS), options.length, sizes["vocab_size"])
    request = RecoveryRequest(
        method=method, batch=options.batch, epochs=1, gradient_checkpointing=True,
        batch_tokens=options.batch_tokens, max_length=options.length,
    )  # fmt: skip
    adaptation = attach(sparse_model(sizes, device, dtype), method, request)
    metrics = train(adaptation, rows, request, precision=dtype).metrics[WARM_UP_STEPS:]
    seconds = statistics.median(entry["seconds"] for entry in metrics)
    return {
        "method": method,
        "trainable": adaptation.n_trainable,
        "seconds_per_step": seconds,
        "tokens_per_second": metrics[0]["tokens"] / seconds,
        "peak_gib": peak_memory() / 2**30,
        "loss": metrics[-1]["loss"],
    }


def main() -> None:
    """Print the figures of both methods and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batch-tokens", type=int, default=16_384)
    parser.add_argument("--tiny", action="store_true", help="a small model on the CPU")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [measure(method, options) for method in ("lora", "mask_lora")]
    ratio = rows[1]["seconds_per_step"] / rows[0]["seconds_per_step"]
    device = "cpu" if options.tiny else torch.cuda.get_device_name()
    result = {"device": device, "rows": rows, "mask_lora_over_lora": ratio}
    print(json.dumps(result, indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
