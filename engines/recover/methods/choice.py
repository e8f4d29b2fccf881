"""Chooses the recovery method for a detected compression, and refuses methods that would destroy it.

Does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from curate.schemas.errors import GateError, UsageError
from curate.schemas.recovery import AUTO

if TYPE_CHECKING:
    from curate.engines.recover.methods.detection import Findings
    from curate.schemas.recovery import RecoveryMethod, RecoveryRequest


def choose_method(request: RecoveryRequest, findings: Findings) -> tuple[RecoveryMethod, str]:
    """Return the method to use and the reason, one clause.

    Raises
    ------
    GateError
        When the requested method would destroy the compression, or cannot be merged; the message names an alternative.
    """
    if request.elastic and findings.quantisation is not None:
        raise GateError(
            f"--elastic needs the weights themselves, and the model is quantised ({findings.quantisation}); recover "
            "the sorted model, then truncate and quantise it"
        )
    if request.method != AUTO:
        method, reason = cast("RecoveryMethod", request.method), "as requested"
    elif findings.quantisation is not None:
        method, reason = (
            "lora",
            f"the model is quantised ({findings.quantisation}), so that only an adapter can be trained",
        )
    elif findings.sparse:
        method, reason = "mask_lora", f"{findings.sentence()}, and a plain adapter would fill the zeros when merged"
    else:
        method, reason = "lora", f"the model has no zeros to keep ({findings.sentence()})"
    check_method(method, request.merge, findings)
    return method, reason


def check_method(method: RecoveryMethod, merge: bool, findings: Findings) -> None:
    """Refuse a method that does not suit the detected compression, or whose result could not be written unmerged.

    Raises
    ------
    GateError
        When the compression would be destroyed.
    UsageError
        When only merging can keep what the method trains.
    """
    share = f"{100 * findings.sparsity:.1f} % of its weights are zero"
    if findings.adapter_base is not None and findings.sparse:
        raise GateError(
            f"the adapter's base {findings.adapter_base!r} is sparse ({share}), and merging the adapter to train on it "
            "would fill the zeros; recover the base itself with --method mask_lora"
        )
    if findings.adapter_base is not None and (findings.quantisation is not None or not merge):
        other = ", or omit --no-merge"
        if findings.quantisation is not None:
            other = f": merging into a quantised model ({findings.quantisation}) would lose the first to rounding"
        raise GateError(
            f"a second adapter, on top of the one over {findings.adapter_base!r}, would need a base model that no "
            f"folder holds; recover the base itself with --method lora --no-merge{other}"
        )
    if findings.quantisation is not None and method != "lora":
        raise GateError(
            f"method {method!r} needs the weights themselves, and the model is quantised ({findings.quantisation}); "
            "use --method lora --no-merge, or recover the model before quantising it"
        )
    if findings.quantisation is not None and merge:
        raise GateError(
            f"an adapter cannot be merged into a quantised model ({findings.quantisation}) without rounding it away; "
            "add --no-merge to keep it separate, or recover the model before quantising it"
        )
    if method == "lora" and merge and findings.sparse:
        raise GateError(
            f"merging plain LoRA would fill the model's zeros ({share}); "
            "use --method mask_lora, or add --no-merge to keep the adapter separate"
        )
    if not merge and method != "lora":
        other = "whose adapter beside the model fills no zero" if findings.sparse else "to keep an adapter apart"
        raise UsageError(
            f"--no-merge writes an adapter for PEFT, and what {method} trains is none: PEFT adds a product of two "
            f"matrices to a weight and has no masks; omit --no-merge, or pass --method lora, {other}"
        )
