"""DON and NOD of every linear layer from one batched backward pass, never one per example (``layers = "all"``).

For a layer with inputs a_t and gradients b_t of its outputs, over all tokens of one example (METHODS §1),
‖G‖² = Σ_st (a_s·a_t)(b_s·b_t) and ⟨W, G⟩ = Σ_t b_t·(W a_t). Weights are frozen: the pass computes gradients of
activations alone, and since examples do not see one another, those of a batch are those of each example. Padding on
the right has no gradient and so adds nothing. Layers are the decoder's linear projections; norms, biases and the
embedding are left out.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.models.output_head import hidden_states
from curate.engines.models.projections import find_projections
from curate.engines.score import signals
from curate.engines.score.response_states import response_places
from curate.engines.tokens.batching import pad_right
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from curate.engines.models.loading import LanguageModel
    from curate.engines.models.projections import Projection
    from curate.engines.tokens.templates import Encoded

Tensor = torch.Tensor


@dataclass
class Tape:
    """What one batch leaves behind on its way through the model and back, one entry a layer."""

    inputs: dict[str, Tensor] = field(default_factory=dict)
    """(B, T, inputs of the layer)."""
    squared: dict[str, Tensor] = field(default_factory=dict)
    """(B,) float64, ‖G‖² of each example."""
    alignment: dict[str, Tensor] = field(default_factory=dict)
    """(B,) float64, ⟨W, G⟩ of each example."""


class EveryLayer:
    """A model whose layers are listened to.

    Parameters
    ----------
    model : LanguageModel
        Its weights are frozen, and hooks are put on its layers.

    Raises
    ------
    InputError
        When it has no linear projections, or when one is quantised.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._here = threading.local()
        projections = find_projections(model.model)
        if not projections or getattr(model.model, "is_quantized", False):
            raise InputError(
                f"model {model.name!r} has no ordinary linear layers inside, or quantised ones; use --layers output"
            )
        model.model.requires_grad_(False)
        model.model.get_input_embeddings().register_forward_hook(self._open)
        for one in projections:
            one.module.register_forward_hook(self._listener(one))
        self._weight_squared = {one.name: _squared_norm(one.matrix) for one in projections}

    def response_states(self, rows: Sequence[Encoded]) -> tuple[Tensor, Tape]:
        """Return what `states.response_states` returns, with its graph, and the tape that `backward` fills."""
        ids = pad_right([item.ids for item in rows]).to(self._model.device)
        self._here.tape = tape = Tape()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                states = hidden_states(self._model.model, ids)
                places = response_places(rows, ids.shape[1]).to(ids.device)
                return states.flatten(0, 1)[places], tape
        finally:
            self._here.tape = None

    def backward(self, states: Tensor, gradient: Tensor, tape: Tape, rate: float) -> dict[str, NDArray[np.float64]]:
        """Return ``don`` and ``nod`` of each example, each (B,), summed over the layers of the tape.

        Parameters
        ----------
        states : Tensor of shape (M, d)
            From `response_states`.
        gradient : Tensor of shape (M, d)
            Of each example's mean loss by its states.
        tape : Tape
            From `response_states`; emptied here.
        rate : float
            η, > 0.
        """
        with torch.inference_mode(False):
            torch.autograd.backward(states, gradient.to(states.dtype).clone())
        don: Any = 0.0
        nod: Any = 0.0
        for name, squared in tape.squared.items():
            norms, along = squared.cpu().numpy(), tape.alignment[name].cpu().numpy()
            don = don + signals.delta_of_norm(norms, along, self._weight_squared[name], rate)
            nod = nod + signals.norm_of_delta(norms, rate)
        return {"don": don, "nod": nod}

    def _open(self, module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Let gradients flow back as far as the embedding's output, though nothing before it is trained."""
        return output if self._tape() is None else output.requires_grad_()

    def _listener(self, one: Projection) -> Any:
        def listen(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            tape = self._tape()
            if tape is None:
                return
            if one.name in tape.inputs:
                raise InputError(f"layer {one.name} is used twice in one pass; use --layers output for this model")
            tape.inputs[one.name] = inputs[0].detach()
            bias = getattr(module, "bias", None)
            # W a without the bias, whose gradient is another parameter's.
            product = output.detach() if bias is None else output.detach() - bias
            output.register_hook(lambda gradient: _reduce(tape, one.name, product, gradient))

        return listen

    def _tape(self) -> Tape | None:
        return getattr(self._here, "tape", None)


def _reduce(tape: Tape, name: str, product: Tensor, gradient: Tensor) -> None:
    """Note a layer's sums for each example, and let go of its inputs."""
    inputs = tape.inputs.pop(name)
    tape.alignment[name] = (gradient.float() * product.float()).sum((1, 2), dtype=torch.float64)
    pairs = zip(gradient, inputs, strict=True)
    tape.squared[name] = torch.stack([signals.gradient_norm_squared(b.float(), a.float()) for b, a in pairs])


def _squared_norm(matrix: Tensor) -> float:
    return float(sum(row.to("cpu", torch.float64).square().sum().item() for row in matrix.split(4096)))
