"""Loads a causal language model, or a pair with the same token ids, and checks that they can be scored.

`checkpoints` inspects the folders.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from transformers import AutoModelForCausalLM

from curate.engines.models.adapters import adapted
from curate.engines.models.attention import use_blocked_attention
from curate.engines.models.checkpoints import adapter_base, check_folder, is_adapter, resolve_model
from curate.engines.models.configuration import load_config, repaired_config
from curate.engines.models.devices import pair_devices, resolve_dtype
from curate.engines.models.library_errors import as_input_error
from curate.engines.models.nonuniform import is_nonuniform, load_nonuniform
from curate.engines.models.output_head import OutputHead, output_head, verify_head
from curate.engines.models.quantised import check_quantised
from curate.engines.models.tokenizers import load_tokenizer, vocabulary_mismatch
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model in evaluation mode with its output head, the linear layer that scoring assumes."""

    model: PreTrainedModel
    name: str
    """Folder or hub name as the user gave it, for messages."""

    @cached_property
    def head(self) -> OutputHead:
        """The output head."""
        return output_head(self.model)

    @cached_property
    def weight_squared(self) -> float:
        """‖W‖_F² of the output head, float64, computed once."""
        return self.head.squared_norm()

    @property
    def device(self) -> torch.device:
        """Device of the output head."""
        return self.head.weight.device

    @property
    def context(self) -> int | None:
        """Longest sequence of the model in tokens, None if its configuration does not state it."""
        return _context(self.model.config)


@dataclass(frozen=True, eq=False)
class Pair:
    """The model about to be trained and, if there is one, the original that it was compressed from."""

    compressed: LanguageModel
    """Also the single model, if there is no pair."""
    original: LanguageModel | None
    tokenizer: PreTrainedTokenizerBase

    @property
    def context(self) -> int | None:
        """The shorter context of the two in tokens, None if neither states one."""
        lengths = [m.context for m in (self.compressed, self.original) if m is not None and m.context is not None]
        return min(lengths, default=None)


def load_pair(
    original: str | None,
    compressed: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
) -> Pair:
    """Return both models, loaded and checked against each other.

    Parameters
    ----------
    original : str or None
        Folder or hub name of the original; None for a single model.
    compressed : str
        Folder or hub name of the model about to be trained. Its tokenizer is used, or else the original's.
    device, dtype : str
        See `devices`; two devices separated by a comma are the original's and the compressed model's.
    trust_remote_code : bool
        Whether Python files in the model folders may be run.

    Raises
    ------
    InputError
        If a model cannot be loaded, or the two do not share token ids and vocabulary.
    UsageError
        For an unknown device or dtype.
    """
    original_device, compressed_device = pair_devices(device)
    folder = resolve_model(compressed)
    original_folder = resolve_model(original) if original is not None else None
    tokenizer = load_tokenizer(folder, original_folder, trust_remote_code=trust_remote_code)
    loaded = [
        load_language_model(name, target, resolve_dtype(dtype, target), trust_remote_code=trust_remote_code)
        for name, target in ((compressed, compressed_device), (original, original_device))
        if name is not None
    ]
    return make_pair(loaded[1] if len(loaded) == 2 else None, loaded[0], tokenizer)


def load_language_model(
    name: str, device: torch.device, dtype: torch.dtype | None, *, trust_remote_code: bool = False
) -> LanguageModel:
    """Return one model by its folder or hub name, set up for scoring; see `load_model`."""
    model = load_model(resolve_model(name), device, dtype, trust_remote_code=trust_remote_code)
    use_blocked_attention(model)
    return LanguageModel(model, name)


def context_of(folder: Path, *, trust_remote_code: bool = False) -> int | None:
    """Return the longest sequence of the model in `folder`, in tokens, from its configuration alone."""
    if is_adapter(folder):
        return context_of(resolve_model(adapter_base(folder)), trust_remote_code=trust_remote_code)
    check_folder(folder)
    return _context(load_config(folder, trust_remote_code=trust_remote_code))


def _context(config: PreTrainedConfig) -> int | None:
    text = config.get_text_config()
    length = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    return int(length) if length else None


def make_pair(original: LanguageModel | None, compressed: LanguageModel, tokenizer: PreTrainedTokenizerBase) -> Pair:
    """Return the pair after checking vocabularies and output heads; see `load_pair`."""
    for model in (compressed, original):
        if model is not None:
            _check_ids(model, tokenizer)
            verify_head(model.model, model.head)
    if original is not None and original.head.vocabulary != compressed.head.vocabulary:
        sizes = compressed.head.vocabulary, original.head.vocabulary
        raise InputError(vocabulary_mismatch(compressed.name, sizes[0], original.name, sizes[1]))
    return Pair(compressed, original, tokenizer)


def load_model(
    folder: Path, device: torch.device, dtype: torch.dtype | None, *, trust_remote_code: bool = False
) -> PreTrainedModel:
    """Return the causal language model in `folder`, with an adapter merged into its base in memory.

    Over a quantised base the adapter is not merged: merging would round it to the few bits of the weights.

    Parameters
    ----------
    folder : Path
    device : torch.device
    dtype : torch.dtype or None
        None keeps the stored dtype.

    Raises
    ------
    InputError
        If the folder holds no usable model, or weights are missing or do not have the configured shapes.
    """
    if is_adapter(folder):
        base = load_model(resolve_model(adapter_base(folder)), device, dtype, trust_remote_code=trust_remote_code)
        return adapted(base, folder)
    check_folder(folder)
    if is_nonuniform(folder):
        return load_nonuniform(folder, dtype).to(device).eval()
    return _from_pretrained(folder, device, dtype, trust_remote_code)


def _from_pretrained(
    folder: Path, device: torch.device, dtype: torch.dtype | None, trust_remote_code: bool
) -> PreTrainedModel:
    """Return the dense or quantised model of a folder, after checking that no weight is missing."""
    method = check_quantised(folder, device.type == "cpu")
    # Quantised weights cannot be moved afterwards: they are packed for the device on which they are loaded.
    placed: dict[str, Any] = {} if method is None else {"device_map": {"": str(device)}}
    if method == "bitsandbytes":
        # bitsandbytes warns for every layer and batch that 8-bit products are computed in half precision.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    config = repaired_config(folder, trust_remote_code=trust_remote_code)
    repaired = {} if config is None else {"config": config}
    remedy = "check that it opens with AutoModelForCausalLM.from_pretrained"
    with as_input_error(f"model folder {str(folder)!r}", remedy):
        model, loading_info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype if dtype is not None else "auto",
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            **repaired,
            **placed,
        )
    missing = sorted(loading_info["missing_keys"]) + sorted(str(key) for key in loading_info["mismatched_keys"])
    if missing:
        raise InputError(
            f"model folder {str(folder)!r} lacks {len(missing)} of its weights, first {missing[0]}; "
            "save the whole model again"
        )
    return (model if placed else model.to(device)).eval()


def _check_ids(model: LanguageModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise InputError for a tokenizer with ids that the model has no embedding for."""
    # The embedding and the output head may have different numbers of rows.
    rows = min(model.model.get_input_embeddings().weight.shape[0], model.head.vocabulary)
    largest = max(tokenizer.get_vocab().values(), default=-math.inf)
    if largest >= rows:
        raise InputError(
            f"the tokenizer has ids up to {largest} and model {model.name!r} only {rows} rows; "
            "give the tokenizer that belongs to the model"
        )
