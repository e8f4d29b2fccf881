"""The five recovery methods (docs/methods.md): the tensors that each trains, how it merges and saves them.

`attach` prepares a model in place and returns an `Adaptation`, the interface that the training loop uses.
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
from curate.engines.recover.methods.dropout import redraw_dropout
from curate.engines.recover.methods.layers import layer_prefixes, other_layers
from curate.engines.recover.methods.masked_product import LowRankLinear, ProductKind
from curate.engines.recover.methods.sparsity import freeze_zeros_if_sparse
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
        The tensors that the optimiser updates, by name, in a fixed order.
    """

    method: RecoveryMethod
    """Set by `attach`."""

    def __init__(self, model: PreTrainedModel, trainable: Mapping[str, nn.Parameter]) -> None:
        self.model, self.trainable = model, dict(trainable)

    @property
    def n_trainable(self) -> int:
        """Number of trained parameters."""
        return sum(parameter.numel() for parameter in self.trainable.values())

    @abstractmethod
    def merge(self) -> None:
        """Turn `model` into an ordinary model that computes the same."""

    @abstractmethod
    def detach(self) -> None:
        """Take off what was attached; an adapter is lost."""

    @abstractmethod
    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        """Write the trained tensors to the new folder; return False, writing nothing, if they are the whole model."""


class _Lora(Adaptation):
    """PEFT's LoRA on every linear projection."""

    def __init__(self, model: PreTrainedModel, request: RecoveryRequest) -> None:
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

        prefixes = layer_prefixes(model, request.layers)
        names: list[str] | str = [one.name for one in find_projections(model) if one.name.startswith(prefixes)]
        if getattr(model, "quantization_method", None) is not None:
            # Quantised layers need not be torch's linear layers; PEFT recognises its own.
            names = "all-linear"
            # Without gradient checkpointing here: the training loop turns it on if requested.
            prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
        if not names:
            raise InputError(f"the layers of model type {model.config.model_type!r} have no linear projection to adapt")
        config = LoraConfig(
            r=request.rank,
            lora_alpha=request.alpha,  # type: ignore[arg-type]
            lora_dropout=request.dropout,
            target_modules=names,
            exclude_modules=other_layers(model, request.layers),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            # PEFT warns that it handles GPT-2's transposed layers, and about a deprecated name in transformers.
            warnings.simplefilter("ignore")
            self._wrapped = get_peft_model(model, config)
        redraw_dropout(self._wrapped)
        trainable = {name: one for name, one in model.named_parameters() if one.requires_grad}
        super().__init__(model, trainable)

    def merge(self) -> None:
        self._wrapped.merge_and_unload()

    def detach(self) -> None:
        self._wrapped.unload()

    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        self._wrapped.save_pretrained(str(folder))
        # PEFT's own model card is a form with blanks; `model_card` writes a better one.
        (folder / "README.md").unlink(missing_ok=True)
        return True


class _LowRank(Adaptation):
    """mask_lora and scale_lora: a masked or scaled low-rank product on every linear projection."""

    def __init__(self, model: PreTrainedModel, request: RecoveryRequest, kind: ProductKind) -> None:
        prefixes = layer_prefixes(model, request.layers)
        projections = [one for one in find_projections(model) if one.name.startswith(prefixes)]
        if not projections:
            raise InputError(f"the layers of model type {model.config.model_type!r} have no linear projection to adapt")
        model.requires_grad_(False)
        self._layers: dict[str, LowRankLinear] = {}
        for projection in projections:
            transposed = isinstance(projection.module, Conv1D)
            wrapped = LowRankLinear(projection.module, transposed, request.rank, request.alpha / request.rank, kind)
            self._layers[projection.name] = wrapped
            _replace_module(model, projection.name, wrapped)
        trainable = {f"{name}.{part}": getattr(one, part) for name, one in self._layers.items() for part in "ab"}
        super().__init__(model, trainable)

    def merge(self) -> None:
        for one in self._layers.values():
            one.merge()
        self.detach()

    def detach(self) -> None:
        for name, one in self._layers.items():
            _replace_module(self.model, name, one.base)

    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        return _save_tensors(self.trainable, folder, facts)


class _Perp(Adaptation):
    """perp: biases, norms, output head, or any union of them."""

    def __init__(self, model: PreTrainedModel, request: RecoveryRequest) -> None:
        model.requires_grad_(False)
        prefixes = layer_prefixes(model, request.layers)
        trainable = {
            name: one
            for name, one in model.named_parameters()
            if name.startswith(prefixes) and _perp_part(model, name, one) in request.parts
        }
        if not trainable:
            raise UsageError(
                f"the model has none of {', '.join(request.parts)} to train (--layers {request.layers}); "
                "give --parts norms, head or another method"
            )
        super().__init__(model, _make_trainable(trainable))
        self._hooks = freeze_zeros_if_sparse(model, trainable)

    def merge(self) -> None:
        """Remove the hooks only: the model's own weights were trained."""
        self.detach()

    def detach(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def save(self, folder: Path, facts: dict[str, Any]) -> bool:
        return _save_tensors(self.trainable, folder, facts)


class _Full(Adaptation):
    """full: every weight; zeros get no gradient and stay zero."""

    def __init__(self, model: PreTrainedModel, request: RecoveryRequest) -> None:
        prefixes = layer_prefixes(model, request.layers)
        model.requires_grad_(False)
        trainable = {name: one for name, one in model.named_parameters() if name.startswith(prefixes)}
        super().__init__(model, _make_trainable(trainable))
        self._hooks = freeze_zeros_if_sparse(model, trainable)

    def merge(self) -> None:
        """Remove the hooks only: the model's own weights were trained."""
        self.detach()

    def detach(self) -> None:
        for hook in self._hooks:
            hook.remove()

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
    """Prepare `model` for training by `method`, in place; the initial adapter depends on the request's seed only.

    Raises
    ------
    InputError
        When the model has nothing that the method can train.
    UsageError
        When the model has none of the parts requested for ``perp``.
    """
    # The generator is restored afterwards: the caller's random numbers must not depend on the size of the adapter.
    with torch.random.fork_rng():
        torch.manual_seed(request.seed)
        adaptation = ADAPTATIONS[method](model, request)
    adaptation.method = method
    return adaptation


def _perp_part(model: PreTrainedModel, name: str, parameter: nn.Parameter) -> str | None:
    """Return which part of PERP's union a parameter belongs to."""
    head = model.get_output_embeddings()
    # By identity, not by name: a tied head appears under the name of the embeddings.
    if any(parameter is one for one in head.parameters(recurse=False)):
        return "head"
    if name.endswith(".bias") and "norm" not in name and ".ln_" not in name:
        return "biases"
    return "norms" if parameter.ndim == 1 else None


def _make_trainable(trainable: Mapping[str, nn.Parameter]) -> Mapping[str, nn.Parameter]:
    """Make parameters trainable, in float32: updates of 1e-4 would be lost to rounding in 16 bits."""
    for one in trainable.values():
        one.data = one.data.float()
        one.requires_grad_(True)
    return trainable


def _replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def _save_tensors(tensors: Mapping[str, torch.Tensor], folder: Path, facts: dict[str, Any]) -> bool:
    folder.mkdir(parents=True)
    save_file({name: one.detach().cpu().contiguous() for name, one in tensors.items()}, folder / ADAPTER_WEIGHTS)
    (folder / ADAPTER_FACTS).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", "utf-8")
    return True
