"""Which method a model needs, and which it must not get: decided by what was detected, each with its reason.

Pure; knows nothing of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from curate.schemas.errors import GateError
from curate.schemas.recovery import AUTO

if TYPE_CHECKING:
    from curate.engines.recover.methods.detection import Findings
    from curate.schemas.recovery import RecoveryMethod, RecoveryRequest


def choose_method(request: RecoveryRequest, found: Findings) -> tuple[RecoveryMethod, str]:
    """Return the method to use and why, one clause.

    Raises
    ------
    GateError
        When the method would destroy what compression gave, or cannot be merged; the sentence gives the alternative.
    """
    if request.method != AUTO:
        method, why = cast("RecoveryMethod", request.method), "as asked for"
    elif found.quantisation is not None:
        method, why = "lora", f"the model is quantised ({found.quantisation}), so that only an adapter can be trained"
    elif found.sparse:
        method, why = "mask_lora", f"{found.sentence()}, and a plain adapter would fill the zeros when merged"
    else:
        method, why = "lora", f"the model has no zeros to keep ({found.sentence()})"
    refuse(method, request.merge, found)
    return method, why


def refuse(method: RecoveryMethod, merge: bool, found: Findings) -> None:
    """Raise GateError where `method` and `merge` do not go with what was detected."""
    share = f"{100 * found.sparsity:.1f} % of its weights are zero"
    if found.adapter_base is not None and found.sparse:
        raise GateError(
            f"the adapter's base {found.adapter_base!r} is sparse ({share}), and merging the adapter to train on it "
            "would fill the zeros; recover the base itself with --method mask_lora"
        )
    if found.adapter_base is not None and (found.quantisation is not None or not merge):
        other = ", or leave --no-merge away"
        if found.quantisation is not None:
            other = f": merging into a quantised model ({found.quantisation}) would round the first away"
        raise GateError(
            f"a second adapter, beside the one over {found.adapter_base!r}, would belong to a model that is in no "
            f"folder; recover the base itself with --method lora --no-merge{other}"
        )
    if found.quantisation is not None and method != "lora":
        raise GateError(
            f"method {method!r} needs the weights themselves, and the model is quantised ({found.quantisation}); "
            "use --method lora --no-merge, or recover the model before quantising it"
        )
    if found.quantisation is not None and merge:
        raise GateError(
            f"an adapter cannot be merged into a quantised model ({found.quantisation}) without rounding it away; "
            "add --no-merge to keep it separate, or recover the model before quantising it"
        )
    if method == "lora" and merge and found.sparse:
        raise GateError(
            f"merging plain LoRA would fill the model's zeros ({share}); "
            "use --method mask_lora, or add --no-merge to keep the adapter separate"
        )
