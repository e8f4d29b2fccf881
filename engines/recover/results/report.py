"""The report of a recovery: model and rows before training, the training itself, perplexity and peak memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from curate.engines.recover.methods.sparsity import share_of_zeros
from curate.engines.recover.training.loop import autocast
from curate.engines.recover.training.loss import perplexity
from curate.schemas.layer_choice import ALL, named
from curate.schemas.peak_memory import peak_memory as peak_memory_of_process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from curate.engines.recover.methods.attach import Adaptation
    from curate.engines.recover.prepare import LoadedSetup
    from curate.engines.recover.training.elastic_widths import ElasticWidths
    from curate.schemas.recovery import RecoveryRequest

LOW_RANK = ("lora", "mask_lora", "scale_lora")
EXPERT_DIMENSIONS = 3
"""Dimensions of the weights of all experts of a layer: (expert, out, in)."""
ROUNDED = 1e-3
"""Share by which the perplexity may move when merged weights are rounded, before the report says so."""


def facts_before_training(loaded: LoadedSetup) -> dict[str, Any]:
    """Return method, settings, sizes and perplexity of the model and its rows before training."""
    return {
        "method": loaded.method,
        "reason": loaded.reason,
        "detected": loaded.findings.to_json(),
        "parameters": sum(one.numel() for one in loaded.model.parameters()),
        "sparsity_before": share_of_zeros(loaded.model),
        "perplexity_before": heldout_perplexity(loaded),
        "rows": len(loaded.rows),
        "rows_skipped": loaded.n_skipped,
        "rows_heldout": len(loaded.heldout),
        "template": loaded.template.name,
        "template_digest": loaded.template.digest(),
        "max_length": loaded.template.max_length,
        "dtype": str(loaded.precision).removeprefix("torch."),
        "device": str(loaded.model.device),
    }


def trainable_size(adaptation: Adaptation, parameters: int, epochs: float) -> dict[str, Any]:
    """Return number and share of the trained parameters, of a model with `parameters` in all."""
    trained = adaptation.n_trainable if epochs else 0
    return {"trainable": trained, "trainable_share": trained / parameters}


def facts_of_layers(request: RecoveryRequest) -> dict[str, Any]:
    """Return the decoder layers that are trained, nothing if all are; the request names them by number."""
    return {} if request.layers == ALL else {"layers": list(named(request.layers))}


def training_summary(metrics: list[dict[str, Any]], unreached: list[str]) -> dict[str, Any]:
    """Return totals over the steps, and a warning if trained tensors got no gradient."""
    losses = [entry["loss"] for entry in metrics]
    tokens, seconds = sum(entry["tokens"] for entry in metrics), sum(entry["seconds"] for entry in metrics)
    warnings = []
    if unreached:
        warnings.append(
            f"{len(unreached)} trained tensors got no gradient in the first step, so training them has no effect; "
            f"the first is {unreached[0]}"
        )
    return {
        "steps": len(metrics),
        "tokens": tokens,
        "tokens_per_second": tokens / max(seconds, 1e-9),
        "loss_first": _mean(losses[:10]) if losses else None,
        "loss_last": _mean(losses[-10:]) if losses else None,
        "metrics": metrics,
        "warnings": warnings,
    }


def expert_warnings(adaptation: Adaptation) -> list[str]:
    """Return a sentence if a low-rank method leaves fused expert weights untrained.

    Mixture-of-experts layers keep the experts of a layer in one tensor of three dimensions, to which no low-rank
    product is attached.
    """
    if adaptation.method not in LOW_RANK:
        return []
    fused = [(name, one.numel()) for name, one in adaptation.model.named_parameters() if one.ndim == EXPERT_DIMENSIONS]
    if not fused:
        return []
    size, whole = sum(number for _, number in fused), sum(one.numel() for one in adaptation.model.parameters())
    return [
        f"{adaptation.method} does not train expert weights: {len(fused)} tensors, {size / whole:.0%} of the model's "
        f"parameters, stay as they are, {fused[0][0].removeprefix('base_model.model.')} among them; --method full "
        "trains them"
    ]


def rounding_warnings(facts: Mapping[str, Any], stored: torch.dtype) -> list[str]:
    """Return a sentence if rounding the merged weights to `stored` moved the perplexity by more than `ROUNDED`."""
    trained, after = facts["perplexity_trained"], facts["perplexity_after"]
    if trained is None or abs(after / trained - 1) <= ROUNDED:
        return []
    name = str(stored).removeprefix("torch.")
    return [
        f"rounding the merged weights to {name} moved the perplexity from {trained:.4f} to {after:.4f}; "
        "--save-dtype float32 keeps what was trained"
    ]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def heldout_perplexity(loaded: LoadedSetup) -> float | None:
    """Return the perplexity of the held-out rows, None without any."""
    if not loaded.heldout:
        return None
    with autocast(loaded.model.device, loaded.precision):
        return perplexity(loaded.model, loaded.heldout, loaded.batch_tokens)


def perplexities_at(loaded: LoadedSetup, widths: ElasticWidths | None) -> list[float | None]:
    """Return the perplexity of the held-out rows at each width, narrowest first; nothing without widths."""
    if widths is None:
        return []
    values = []
    with widths.hooked(loaded.model):
        for kept in widths.widths.values():
            with widths.at(kept):
                values.append(heldout_perplexity(loaded))
    return values


def facts_of_widths(
    widths: ElasticWidths, steps: int, before: Sequence[float | None], after: Sequence[float | None]
) -> list[dict[str, Any]]:
    """Return for each width, widest first, its steps and the perplexity of the held-out rows before and after."""
    drawn = [widths.of_step(step) for step in range(steps)]
    facts = [
        {"share": share, "channels": kept, "steps": drawn.count(kept), "perplexity_before": first,
         "perplexity_after": last}
        for (share, kept), first, last in zip(widths.widths.items(), before, after, strict=True)
    ]  # fmt: skip
    return facts[::-1]


def peak_memory() -> int:
    """Return the peak memory so far in bytes: of the current CUDA device, or of the process without one."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return peak_memory_of_process()
