"""Reads a model's ``config.json``, checks its sizes against the weight files, and repairs what transformers rejects.

A configuration can ask for any number of layers; building them first and comparing afterwards would take hours. The
checks here are arithmetic on the headers of the weight files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.engines.models.json_files import REMEDY, read_object
from curate.engines.models.library_errors import as_input_error
from curate.engines.models.weight_files import stored_tensors
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedConfig

CONFIG = "config.json"

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTHS = ("hidden_size", "n_embd", "d_model")
_SIZES = (
    *_LAYERS, *_WIDTHS, "vocab_size", "num_attention_heads", "n_head", "n_heads", "max_position_embeddings",
    "n_positions",
)  # fmt: skip
_SIZES_PER_LAYER = ("intermediate_size", "n_inner", "ffn_dim", "num_key_value_heads", "head_dim")
"""Sizes that some architectures list for each layer."""
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_DTYPE_KEYS = ("dtype", "torch_dtype")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a model folder, with every size a positive whole number.

    A dtype ``"torch.bfloat16"`` is returned as ``"bfloat16"``, and a ``quantization_config`` of a dense model, which
    only records its sparsity, is left out.

    Raises
    ------
    InputError
        If it is missing, no JSON object, or has a size or section of the wrong type.
    """
    path = folder / CONFIG
    config = read_object(path)
    for section in (config, _section(path, config, "text_config")):
        _section(path, section, "quantization_config")
        _check_types(path, section)
    repaired: dict[str, Any] = _repaired(config)
    return repaired


def _section(path: Path, config: dict[str, Any], name: str) -> dict[str, Any]:
    section = config.get(name) or {}
    if not isinstance(section, dict):
        raise InputError(f"model configuration {str(path)!r} has a {name} that is no JSON object; {REMEDY}")
    return section


def _check_types(path: Path, section: dict[str, Any]) -> None:
    for name in (*_SIZES, *_SIZES_PER_LAYER, *_EXPERTS):
        value = section.get(name)
        values = value if isinstance(value, list) and name in _SIZES_PER_LAYER else [value]
        least = 0 if name in _EXPERTS else 1
        for number in values:
            if number is not None and not _is_size(number, least):
                raise InputError(
                    f"model configuration {str(path)!r} has {name} {value!r}, which is no whole number of at least "
                    f"{least}; {REMEDY}"
                )


def _is_size(value: Any, least: int) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and value >= least


def _repaired(value: Any) -> Any:
    """Return a section of a configuration, and those inside it, in the form that transformers reads."""
    if not isinstance(value, dict):
        return value
    kept = {name: _repaired(item) for name, item in value.items()}
    for name in _DTYPE_KEYS:
        if isinstance(kept.get(name), str):
            kept[name] = kept[name].removeprefix("torch.")
    if is_dense(kept.get("quantization_config")):
        del kept["quantization_config"]
    return kept


def is_dense(quantisation: Any) -> bool:
    """Return whether a ``quantization_config`` of compressed-tensors quantises and compresses nothing.

    llm-compressor writes one for a pruned model too, to record its sparsity; the weights are stored as usual.
    """
    if not isinstance(quantisation, dict) or quantisation.get("quant_method") != "compressed-tensors":
        return False
    sparsity = quantisation.get("sparsity_config") or {}
    compressed = isinstance(sparsity, dict) and sparsity.get("format") not in (None, "dense")
    return not (quantisation.get("config_groups") or quantisation.get("kv_cache_scheme") or compressed)


def repaired_config(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedConfig | None:
    """Return the configuration of a folder if transformers could not use ``config.json`` as it is, else None."""
    from transformers import AutoConfig

    if not (folder / CONFIG).is_file():
        return None
    config = read_config(folder)
    if config == read_object(folder / CONFIG) or trust_remote_code and "auto_map" in config:
        return None
    with as_input_error(f"model configuration {str(folder / CONFIG)!r}", REMEDY):
        return AutoConfig.for_model(**config)


def load_config(folder: Path, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """Return the configuration of a model folder as transformers reads it.

    Raises
    ------
    InputError
        If it is damaged or of an unknown architecture.
    """
    from transformers import AutoConfig

    repaired = repaired_config(folder, trust_remote_code=trust_remote_code)
    if repaired is not None:
        return repaired
    with as_input_error(f"model configuration {str(folder / CONFIG)!r}", REMEDY):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)


def check_sizes(folder: Path) -> None:
    """Check that the weight files of a folder are whole and can hold what its configuration claims.

    Raises
    ------
    InputError
        If a file is damaged, or the configuration claims more layers, experts or weights than are stored.
    """
    config, tensors = read_config(folder), stored_tensors(folder)
    text = config.get("text_config") or config
    layers, experts = _first(text, _LAYERS), _first(text, _EXPERTS)
    weights = (_first(text, ("vocab_size",)) + layers) * _first(text, _WIDTHS)
    # A weight takes one bit at least, however it is quantised.
    bits = 8 * sum(tensor.stored_bytes for tensor in tensors.values())
    widest = max((max(tensor.shape, default=0) for tensor in tensors.values()), default=0)
    # Experts are stored one by one, or all of a layer in one tensor.
    for claimed, what, limit, stored in (
        (layers, "layers", len(tensors), "tensors"),
        (experts, "experts per layer", max(widest, len(tensors)), "tensors or rows of one"),
        (weights, "weights or more", bits, "bits"),
    ):
        if claimed > limit:
            raise InputError(
                f"model configuration {str(folder / CONFIG)!r} claims {claimed:,} {what} and the weight files hold "
                f"{limit:,} {stored}; {REMEDY}"
            )


def _first(config: dict[str, Any], names: tuple[str, ...]) -> int:
    return next((int(config[name]) for name in names if config.get(name)), 0)
