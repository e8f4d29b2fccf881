"""The five ways to train a model back (METHODS: PERP, LoRA): what is trained, how it is merged, how it is saved.

`attach` prepares a model in place and returns an `Adaptation`; everything else about a method stands behind that.
Knows nothing of rows and of the training loop.
"""

from __future__ import annotations

import json
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from curate.engines.models.projections import find_projections
from curate.engines.recover.methods.masked_product import Kind, LowRankLinear
from curate.engines.recover.methods.sparsity import hold_pattern
from curate.schemas.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.schemas.recovery import RecoveryMethod, RecoveryRequest

ADAPTER_WEIGHTS = "adapter.safetensors"
ADAPTER_FACTS = "adapter.json"


class Adaptation(ABC):
    """A model prepared for training by one method.

    Parameters
    ----------
    model : PreTrainedModel
        The model to run; changed in place.
    trainable : mapping of str to Parameter
        What the optimiser moves, by name, in a fixed order.
    """

    def __init__(self, model: PreTrainedModel, trainable: Mapping[str, nn.Parameter]) -> None:
        self.model, self.trainable = model, dict(trainable)

    @property
    def n_trainable(self) -> int:
        """Number of trained numbers."""
        return sum(parameter.numel() for parameter in self.trainable.values())

    @abstractmethod
    def merge(self) -> None:
        """Make of `model` the ordinary model again that computes the same."""

    @abstractmethod
    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        """Write what was trained to the new folder; return False where that is the model itself."""


class _Lora(Adaptation):
    """PEFT's LoRA on every linear projection."""

    def __init__(self, model: PreTrainedModel, request: RecoveryRequest) -> None:
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

        names: list[str] | str = [projection.name for projection in find_projections(model)]
        if getattr(model, "quantization_method", None) is not None:
            # Quantised layers need not be linear layers of torch; PEFT knows its own.
            names = "all-linear"
            prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
        if not names:
            raise InputError(f"the layers of model type {model.config.model_type!r} have no linear projection to adapt")
        config = LoraConfig(
            r=request.rank,
            lora_alpha=request.alpha,  # type: ignore[arg-type]
            lora_dropout=request.dropout,
            target_modules=names,
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            # It tells us that it looks at GPT-2 the right way round, and warns of a name of transformers.
            warnings.simplefilter("ignore")
            self._wrapped = get_peft_model(model, config)
        trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
        super().__init__(model, trainable)

    def merge(self) -> None:
        self._wrapped.merge_and_unload()

    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        self._wrapped.save_pretrained(str(folder))
        # PEFT's own card names a model hub and holds blanks to fill in.
        (folder / "README.md").unlink(missing_ok=True)
        return True


class _LowRank(Adaptation):
    """mask_lora and scale_lora: every linear projection behind a masked or scaled product."""

    def __init__(self, model: PreTrainedModel, request: RecoveryRequest, kind: Kind) -> None:
        found = find_projections(model)
        if not found:
            raise InputError(f"the layers of model type {model.config.model_type!r} have no linear projection to adapt")
        model.requires_grad_(False)
        self._layers: dict[str, LowRankLinear] = {}
        for one in found:
            wrapped = LowRankLinear(
                one.module, isinstance(one.module, Conv1D), request.rank, request.alpha / request.rank, kind
            )
            self._layers[one.name] = wrapped
            _put(model, one.name, wrapped)
        trainable = {f"{name}.{part}": getattr(one, part) for name, one in self._layers.items() for part in "ab"}
        super().__init__(model, trainable)

    def merge(self) -> None:
        for name, one in self._layers.items():
            _put(self.model, name, one.merged())

    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        return _save_tensors(self.trainable, folder, facts)


class _Perp(Adaptation):
    """Biases, norms, output head, or any union of them."""

    def __init__(self, model: PreTrainedModel, request: RecoveryRequest) -> None:
        model.requires_grad_(False)
        trainable = {
            name: one for name, one in model.named_parameters() if _perp_part(model, name, one) in request.parts
        }
        if not trainable:
            raise UsageError(
                f"the model has none of {', '.join(request.parts)} to train; give --parts norms, head or another method"
            )
        super().__init__(model, _free(trainable))
        hold_pattern(model, trainable)

    def merge(self) -> None:
        """Nothing to do: the model's own weights were trained."""

    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        return _save_tensors(self.trainable, folder, facts)


class _Full(Adaptation):
    """Every weight; zeros get no gradient and so stay."""

    def __init__(self, model: PreTrainedModel, request: RecoveryRequest) -> None:
        trainable = dict(model.named_parameters())
        super().__init__(model, _free(trainable))
        hold_pattern(model, trainable)

    def merge(self) -> None:
        """Nothing to do: the model's own weights were trained."""

    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        return False


ADAPTATIONS: dict[RecoveryMethod, Callable[[PreTrainedModel, RecoveryRequest], Adaptation]] = {
    "lora": _Lora,
    "mask_lora": lambda model, request: _LowRank(model, request, "mask"),
    "scale_lora": lambda model, request: _LowRank(model, request, "scale"),
    "perp": _Perp,
    "full": _Full,
}


def attach(model: PreTrainedModel, method: RecoveryMethod, request: RecoveryRequest) -> Adaptation:
    """Prepare `model` for training by `method`, in place; the start depends on the request's seed only.

    Raises
    ------
    InputError
        When the model has nothing that the method could train.
    UsageError
        When ``perp`` was asked for parts that the model does not have.
    """
    with torch.random.fork_rng():
        torch.manual_seed(request.seed)
        return ADAPTATIONS[method](model, request)


def _perp_part(model: PreTrainedModel, name: str, parameter: nn.Parameter) -> str | None:
    """Return which part of PERP's union a parameter belongs to."""
    head = model.get_output_embeddings()
    if any(parameter is one for one in head.parameters(recurse=False)):
        return "head"
    if name.endswith(".bias") and "norm" not in name and ".ln_" not in name:
        return "biases"
    return "norms" if parameter.ndim == 1 else None


def _free(trainable: Mapping[str, nn.Parameter]) -> Mapping[str, nn.Parameter]:
    """Make parameters trainable, in float32: steps of 1e-4 are lost in the rounding of 16 bits."""
    for one in trainable.values():
        one.data = one.data.float()
        one.requires_grad_(True)
    return trainable


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def _save_tensors(tensors: Mapping[str, torch.Tensor], folder: Path, facts: dict[str, Any]) -> bool:
    folder.mkdir(parents=True)
    save_file({name: one.detach().cpu().contiguous() for name, one in tensors.items()}, folder / ADAPTER_WEIGHTS)
    (folder / ADAPTER_FACTS).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", "utf-8")
    return True
