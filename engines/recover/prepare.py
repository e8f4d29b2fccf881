"""Preparation of a recovery: detects the compression, chooses the method, encodes the rows and loads the model.

Shared by `recover`, its estimate and pilots. Does not write files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from curate.engines.models.checkpoints import adapter_base, is_adapter, resolve_model
from curate.engines.models.configuration import load_config
from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.finite_weights import require_finite
from curate.engines.models.folder import stored_dtype
from curate.engines.models.loading import LanguageModel, context_of, load_model, make_pair
from curate.engines.models.output_head import output_head, verify_head
from curate.engines.models.quantised import keep_gradient_layout
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.recover.methods.choice import choose_method
from curate.engines.recover.methods.inspection import inspect_model
from curate.engines.recover.training.memory import layer_sizes, pass_tokens
from curate.engines.recover.training.rows import Rows, encode_rows, with_prompts
from curate.engines.tokens.templates import Template
from curate.schemas.errors import GateError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from curate.engines.recover.methods.detection import Findings
    from curate.engines.tokens.templates import Encoded
    from curate.schemas.recovery import RecoveryMethod, RecoveryRequest


@dataclass(eq=False)
class RecoverySetup:
    """Everything that is decided before a model is in memory, and the encoded rows."""

    name: str
    """The model's folder or hub name, as given."""
    folder: Path
    source: Path
    """Folder of the weights, configuration and tokenizer; the base's for an adapter."""
    tokenizer: PreTrainedTokenizerBase
    findings: Findings
    """The detected compression."""
    method: RecoveryMethod
    reason: str
    """Why this method, one clause."""
    template: Template
    rows: list[Encoded]
    n_skipped: int
    """Rows without a supervised token."""
    heldout: list[Encoded]
    device: torch.device
    precision: torch.dtype
    """Dtype of matrix products."""
    stored: torch.dtype
    """Dtype of the result's weights: the source's, unless the request names another."""
    batch_tokens: int


@dataclass(eq=False)
class LoadedSetup(RecoverySetup):
    """A setup with its model in memory, not yet adapted."""

    model: PreTrainedModel


def prepare_recovery(
    model: str,
    rows: Rows,
    request: RecoveryRequest,
    *,
    heldout: Rows = (),
    original: str | None = None,
    template_digest: str | None = None,
) -> RecoverySetup:
    """Return the setup of a recovery, without loading a model.

    Raises
    ------
    GateError
        When the method would destroy the compression, or the rows were scored with another template or length.
    InputError
        When the model or the rows cannot be used.
    UsageError
        For an unknown device, dtype or template, or when the request needs an original and none was given.
    """
    if original is None and (request.reconstruct or request.asks_original):
        option = "--reconstruct" if request.reconstruct else "--teacher original" if request.taught else "--tokens top"
        raise UsageError(f"{option} needs the model before compression; pass --original FOLDER")
    folder = resolve_model(model)
    findings = inspect_model(model, original)
    method, reason = choose_method(request, findings)
    source = resolve_model(adapter_base(folder)) if is_adapter(folder) else folder
    original_folder = resolve_model(original) if original is not None else None
    tokenizer = load_tokenizer(folder, original_folder, trust_remote_code=request.trust_remote_code)
    device = resolve_device(request.device)
    stored = stored_dtype(source) or torch.float32
    precision = working_dtype(request.dtype, device, stored)
    stored = stored if request.save_dtype == "auto" else resolve_dtype(request.save_dtype, device) or stored
    context = context_of(folder, trust_remote_code=request.trust_remote_code)
    template = Template(tokenizer, request.template, min(request.max_length, context or request.max_length))  # type: ignore[arg-type]
    _check_digest(template, template_digest)
    encoded, skipped = encode_rows(template, rows)
    if request.prompts:
        encoded = [with_prompts(row) for row in encoded]
    encoded_heldout = encode_rows(template, heldout)[0] if len(heldout) else []
    config = load_config(source, trust_remote_code=request.trust_remote_code).get_text_config()
    budget = request.batch_tokens or pass_tokens(layer_sizes(config.to_dict()), device.type)
    return RecoverySetup(
        model, folder, source, tokenizer, findings, method, reason, template,
        encoded, skipped, encoded_heldout, device, precision, stored, budget,
    )  # fmt: skip


def load_setup(setup: RecoverySetup, request: RecoveryRequest) -> LoadedSetup:
    """Return the setup with its model in memory, verified to be trainable here.

    Raises
    ------
    InputError
        When the model cannot be used.
    """
    network = load_for_training(setup, request)
    require_finite(network, setup.name)
    verify_head(network, output_head(network))
    return LoadedSetup(**vars(setup), model=network)


def load_for_training(setup: RecoverySetup, request: RecoveryRequest, folder: Path | None = None) -> PreTrainedModel:
    """Return the model of the setup, or of `folder`, in the dtype that its method needs, not yet adapted."""
    # Trained weights need float32: updates are lost to rounding in 16 bits. Autocast then rounds the products only.
    dtype = torch.float32 if setup.method == "full" else setup.precision
    network = load_model(
        folder or setup.folder,
        setup.device,
        dtype if setup.findings.quantisation is None else None,
        trust_remote_code=request.trust_remote_code,
    )
    keep_gradient_layout(network)
    network.config.use_cache = False
    return network


def load_original(loaded: LoadedSetup, original: str, request: RecoveryRequest) -> PreTrainedModel:
    """Return the model before compression, in memory together with the one to train.

    Raises
    ------
    InputError
        When the two do not share vocabulary or tokenizer.
    """
    folder = resolve_model(original)
    network = load_model(folder, loaded.device, loaded.precision, trust_remote_code=request.trust_remote_code)
    require_finite(network, original)
    make_pair(LanguageModel(network, original), LanguageModel(loaded.model, str(loaded.source)), loaded.tokenizer)
    return network


def working_dtype(name: str, device: torch.device, stored: torch.dtype) -> torch.dtype:
    """Return the dtype of matrix products.

    ``auto`` never rounds the stored weights: float16 has too small a range for gradients, and bfloat16 would drop three
    bits of it, so a float16 model runs in float32.

    Raises
    ------
    UsageError
        For float16, and for an unknown name.
    """
    if name == "float16":
        raise UsageError("dtype 'float16' has too small a range for gradients; train with --dtype bfloat16 or float32")
    if name != "auto":
        return resolve_dtype(name, device) or stored
    return torch.bfloat16 if device.type != "cpu" and stored == torch.bfloat16 else torch.float32


def _check_digest(template: Template, scored: str | None) -> None:
    if scored is not None and template.digest() != scored:
        raise GateError(
            f"the rows would be tokenised differently than for their scores or counts: template {template.name!r} with "
            f"{template.max_length} tokens has digest {template.digest()}, theirs is {scored}; "
            "give the --template, --max-length and tokenizer that they were made with, or select again"
        )
