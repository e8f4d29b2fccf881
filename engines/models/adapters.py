"""Adds an adapter to its base model, after checking that its weights belong to that base."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from curate.engines.models.checkpoints import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from curate.engines.models.json_files import read_object
from curate.engines.models.library_errors import as_input_error
from curate.engines.models.weight_files import StoredTensor, read_header
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from peft import PeftModel
    from transformers import PreTrainedModel

NAMED_KEYS = 3


def adapted(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Return `base` with the adapter in `folder`: merged, or attached if the base is quantised.

    Raises
    ------
    InputError
        If the adapter is damaged, its weights do not fit the base, or it adds tokens instead of weights.
    """
    from peft import PeftModel

    _check_config(folder)
    _widen(base, folder)
    remedy = "give the base that it was trained on as base_model_name_or_path in its adapter_config.json"
    with as_input_error(f"adapter folder {str(folder)!r} does not fit its base and", remedy):
        model = PeftModel.from_pretrained(base, str(folder), local_files_only=True)
    if not hasattr(model, "merge_and_unload") or model.peft_config["default"].is_prompt_learning:
        raise InputError(
            f"adapter folder {str(folder)!r} adds prompt tokens instead of weights and cannot be scored; "
            "give a LoRA-like adapter"
        )
    _check_keys(model, folder)
    if getattr(base, "quantization_method", None) is not None:
        # PEFT replaced layers inside `base`, so the base already computes with the adapter.
        model.requires_grad_(False)
        return base.eval()
    merged = cast("PreTrainedModel", model.merge_and_unload().eval())
    _untie(merged)
    return merged


def _check_config(folder: Path) -> None:
    rank = read_object(folder / ADAPTER_CONFIG).get("r")
    # PEFT would allocate matrices of this rank before it compares them with the stored ones.
    widest = max((max(t.shape, default=0) for t in read_header(folder / ADAPTER_WEIGHTS).values()), default=0)
    if rank is not None and (type(rank) is not int or not 0 <= rank <= widest):
        raise InputError(
            f"adapter configuration {str(folder / ADAPTER_CONFIG)!r} has the rank r {json.dumps(rank)} and no stored "
            f"matrix has more than {widest} rows; restore it from the source of the adapter"
        )


def _widen(base: PreTrainedModel, folder: Path) -> None:
    """Give the embeddings of `base` the rows that the adapter brings, if it brings whole embeddings of another size.

    Raises
    ------
    InputError
        If the adapter only changes embeddings of another size and does not bring them.
    """
    tensors = read_header(folder / ADAPTER_WEIGHTS)
    rows = {size for name in _embedding_names(base) if (size := _rows(tensors, name)) is not None}
    own = int(base.get_input_embeddings().weight.shape[0])
    if len(rows) == 1 and rows != {own}:
        # Every row is replaced by the adapter's, so the new ones need no starting values.
        base.resize_token_embeddings(rows.pop(), mean_resizing=False)
        return
    low_rank = next((t.shape[-1] for name, t in tensors.items() if "lora_embedding_A" in name and t.shape), own)
    if low_rank != own:
        raise InputError(
            f"adapter folder {str(folder)!r} was trained on embeddings of {low_rank} rows and its base has {own}; "
            "save it with save_embedding_layers=True, or give the resized base"
        )


def _embedding_names(base: PreTrainedModel) -> list[str]:
    """Return the names of the input embeddings and the output head in the base's state."""
    modules = (base.get_input_embeddings(), base.get_output_embeddings())
    return [f"{name}.weight" for name, module in base.named_modules() if any(module is one for one in modules)]


def _rows(tensors: dict[str, StoredTensor], name: str) -> int | None:
    """Return the rows of the weight `name` of the base that the adapter's file brings whole, None if it does not."""
    tensor = next((t for key, t in tensors.items() if key.endswith(f".{name}") and len(t.shape) == 2), None)
    return None if tensor is None else tensor.shape[0]


def _check_keys(model: PeftModel, folder: Path) -> None:
    """Check that every stored weight has a place: PEFT only warns, and computes with the plain base."""
    from peft import get_peft_model_state_dict

    stored = read_header(folder / ADAPTER_WEIGHTS)
    places: dict[str, Any] = get_peft_model_state_dict(model, save_embedding_layers=True)
    # PEFT loads whole embeddings by their names in the base, without listing them among the adapter's weights.
    known = places.keys() | {f"base_model.model.{name}" for name in model.get_base_model().state_dict()}
    strange = [name for name in sorted(stored) if name not in known]
    if strange or not stored:
        named = ", ".join(strange[:NAMED_KEYS]) or "there are none"
        raise InputError(
            f"adapter folder {str(folder)!r} has {len(strange)} of {len(stored)} weights that fit nothing in its base, "
            f"first {named}; give the base that it was trained on as base_model_name_or_path in its {ADAPTER_CONFIG}"
        )


def _untie(model: PreTrainedModel) -> None:
    """Record that embeddings and output head are two matrices, where the adapter brought one for each."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and model.config.tie_word_embeddings and head.weight is not embedding.weight:
        # Otherwise the saved model would lose its head: a tied one is not written.
        model.config.tie_word_embeddings = False
