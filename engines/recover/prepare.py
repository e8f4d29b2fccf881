"""Everything that stands before training: what was done to the model, the method, the model itself, the encoded rows.

Shared by the job and by its dry run. Knows nothing of where results go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from curate.engines.models.checkpoints import adapter_base, is_adapter, resolve_model
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.folder import stored_dtype
from curate.engines.models.loading import LanguageModel, context_of, load_model, make_pair
from curate.engines.models.output_head import output_head, verify_head
from curate.engines.models.quantised import keep_gradient_layout
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.recover.methods.choice import choose_method
from curate.engines.recover.methods.inspection import inspect_model
from curate.engines.recover.training.rows import Rows, encode_rows
from curate.engines.tokens.batching import default_batch_tokens
from curate.engines.tokens.templates import Template
from curate.schemas.errors import GateError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from curate.engines.recover.methods.detection import Findings
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryMethod, RecoveryRequest


@dataclass(eq=False)
class Layout:
    """What is decided before a model is in memory, and the encoded rows."""

    name: str
    """The model's folder or hub name, as given."""
    folder: Path
    source: Path
    """Folder of the weights and their companions; the base's for an adapter."""
    tokenizer: PreTrainedTokenizerBase
    found: Findings
    method: RecoveryMethod
    why: str
    template: Template
    rows: list[Encoded]
    n_skipped: int
    """Rows without a supervised token."""
    heldout: list[Encoded]
    device: torch.device
    precision: torch.dtype
    stored: torch.dtype
    """Number format of the source's weights, and of the result's."""
    batch_tokens: int


@dataclass(eq=False)
class Prepared(Layout):
    """The same with the model, ready to be adapted."""

    model: PreTrainedModel


def lay_out(
    model: str,
    rows: Rows,
    request: RecoveryRequest,
    *,
    heldout: Rows = (),
    original: str | None = None,
    template_digest: str | None = None,
) -> Layout:
    """Return what can be told without loading a model.

    Raises
    ------
    GateError
        When the method does not go with what was done to the model, or the rows would be laid out otherwise than they
        were scored.
    InputError
        When the model or the rows cannot be used.
    UsageError
        For an unknown device, number format or template, or when the request needs an original and none was given.
    """
    if original is None and (request.reconstruct or request.teacher_weight):
        asked = "--reconstruct" if request.reconstruct else "--teacher original"
        raise UsageError(f"{asked} needs the model before compression; pass --original FOLDER")
    folder = resolve_model(model)
    found = inspect_model(model, original)
    method, why = choose_method(request, found)
    source = resolve_model(adapter_base(folder)) if is_adapter(folder) else folder
    first = resolve_model(original) if original is not None else None
    tokenizer = load_tokenizer(folder, first, trust_remote_code=request.trust_remote_code)
    device = resolve_device(request.device)
    stored = stored_dtype(source) or torch.float32
    precision = working_dtype(request.dtype, device, stored)
    context = context_of(folder, trust_remote_code=request.trust_remote_code)
    template = Template(tokenizer, request.template, min(request.max_length, context or request.max_length))  # type: ignore[arg-type]
    _check_digest(template, template_digest)
    encoded, skipped = encode_rows(template, rows)
    apart = encode_rows(template, heldout)[0] if len(heldout) else []
    budget = request.batch_tokens or default_batch_tokens(device.type, training=True)
    return Layout(
        model, folder, source, tokenizer, found, method, why, template,
        encoded, skipped, apart, device, precision, stored, budget,
    )  # fmt: skip


def load(layout: Layout, request: RecoveryRequest) -> Prepared:
    """Return the layout with its model in memory, checked to be one that can be trained.

    Raises
    ------
    InputError
        When the model cannot be used.
    """
    network = load_to_train(layout, request)
    verify_head(network, output_head(network))
    return Prepared(**vars(layout), model=network)


def load_to_train(layout: Layout, request: RecoveryRequest) -> PreTrainedModel:
    """Return the model as its method trains it, nothing adapted yet."""
    # Weights that are trained themselves are loaded in float32 and only multiplied in less.
    loaded = torch.float32 if layout.method == "full" else layout.precision
    network = load_model(
        layout.folder,
        layout.device,
        loaded if layout.found.quantisation is None else None,
        trust_remote_code=request.trust_remote_code,
    )
    keep_gradient_layout(network)
    network.config.use_cache = False
    return network


def load_original(ready: Prepared, original: str, request: RecoveryRequest) -> PreTrainedModel:
    """Return the model before compression, beside the one in training.

    Raises
    ------
    InputError
        When the two do not share vocabulary or tokenizer.
    """
    folder = resolve_model(original)
    network = load_model(folder, ready.device, ready.precision, trust_remote_code=request.trust_remote_code)
    make_pair(LanguageModel(network, original), LanguageModel(ready.model, str(ready.source)), ready.tokenizer)
    return network


def working_dtype(name: str, device: torch.device, stored: torch.dtype) -> torch.dtype:
    """Return the number format of the products.

    ``auto`` never rounds the weights that were stored: float16 has too small a range for gradients, and in bfloat16 it
    would lose three of its bits, so that such a model runs in float32.

    Raises
    ------
    UsageError
        For float16, and for a name that is not known.
    """
    if name == "float16":
        raise UsageError("dtype 'float16' has too small a range for gradients; train with --dtype bfloat16 or float32")
    if name != "auto":
        return resolve_dtype(name, device) or stored
    return torch.bfloat16 if device.type != "cpu" and stored == torch.bfloat16 else torch.float32


def _check_digest(template: Template, scored: str | None) -> None:
    if scored is not None and template.digest() != scored:
        raise GateError(
            f"the rows would be laid out otherwise than they were scored: template {template.name!r} with "
            f"{template.max_length} tokens has digest {template.digest()}, the scores have {scored}; "
            "give the --template, --max-length and tokenizer of the scores, or score again"
        )
