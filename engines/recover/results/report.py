"""What a recovery says of itself: the facts of its report, before training, after it, and of the device.

Knows nothing of how it is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from curate.engines.recover.methods.sparsity import share_of_zeros
from curate.engines.recover.training.loop import autocast
from curate.engines.recover.training.loss import perplexity
from curate.schemas.peak_memory import peak_memory as peak_memory_of_process

if TYPE_CHECKING:
    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.prepare import Prepared


def facts_before(ready: Prepared) -> dict[str, Any]:
    """Return what is known of the model and its rows before training."""
    return {
        "method": ready.method,
        "reason": ready.why,
        "detected": ready.found.to_json(),
        "parameters": sum(one.numel() for one in ready.model.parameters()),
        "sparsity_before": share_of_zeros(ready.model),
        "perplexity_before": heldout_perplexity(ready),
        "rows": len(ready.rows),
        "rows_skipped": ready.n_skipped,
        "rows_heldout": len(ready.heldout),
        "template": ready.template.name,
        "template_digest": ready.template.digest(),
        "max_length": ready.template.max_length,
        "dtype": str(ready.precision).removeprefix("torch."),
        "device": str(ready.model.device),
    }


def sizes(adaptation: Adaptation, parameters: int, epochs: float) -> dict[str, Any]:
    """Return how much is trained, of a model of so many parameters."""
    trained = adaptation.n_trainable if epochs else 0
    return {"trainable": trained, "trainable_share": trained / parameters}


def facts_of_steps(metrics: list[dict[str, Any]], unreached: list[str]) -> dict[str, Any]:
    """Return what the steps say, and a warning for what they did not reach."""
    losses = [entry["loss"] for entry in metrics]
    tokens, seconds = sum(entry["tokens"] for entry in metrics), sum(entry["seconds"] for entry in metrics)
    notes = []
    if unreached:
        notes.append(
            f"{len(unreached)} trained tensors got no gradient in the first step and are trained in vain, "
            f"first {unreached[0]}"
        )
    return {
        "steps": len(metrics),
        "tokens": tokens,
        "tokens_per_second": tokens / max(seconds, 1e-9),
        "loss_first": _mean(losses[:10]) if losses else None,
        "loss_last": _mean(losses[-10:]) if losses else None,
        "metrics": metrics,
        "warnings": notes,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def heldout_perplexity(ready: Prepared) -> float | None:
    """Return the perplexity of the held-out rows, None without any."""
    if not ready.heldout:
        return None
    with autocast(ready.model.device, ready.precision):
        return perplexity(ready.model, ready.heldout, ready.batch_tokens)


def peak_memory() -> int:
    """Return the most memory used so far, in bytes: on the current CUDA device, or by the process without one."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return peak_memory_of_process()
