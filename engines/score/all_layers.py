"""DON and NOD of every linear layer from one backward pass per batch instead of one per example (``layers = "all"``).

For a layer with inputs a_t and output gradients b_t over all tokens of one example (docs/methods.md, Signals),
‖G‖² = Σ_st (a_s·a_t)(b_s·b_t) and ⟨W, G⟩ = Σ_t b_t·(W a_t). Weights are frozen, so the pass computes gradients of
activations only; examples do not attend to one another, so those of a batch equal those of each example alone. Padding
on the right has zero gradient and adds nothing. Layers are the decoder's linear projections; norms, biases and the
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
from curate.engines.score.response_states import response_positions
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
    """What one batch records in the forward and the backward pass, one entry per layer."""

    inputs: dict[str, Tensor] = field(default_factory=dict)
    """(B, T, input features); removed once the backward pass has used them."""
    squared: dict[str, Tensor] = field(default_factory=dict)
    """(B,) float64, ‖G‖² of each example."""
    alignment: dict[str, Tensor] = field(default_factory=dict)
    """(B,) float64, ⟨W, G⟩ of each example."""


class AllLayers:
    """A model with hooks that record DON and NOD of every linear layer.

    Parameters
    ----------
    model : LanguageModel
        Its weights are frozen, and hooks are registered on its layers.

    Raises
    ------
    InputError
        If it has no linear projections, or is quantised.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        # Several threads run batches through the one model, each with a tape of its own.
        self._local = threading.local()
        projections = find_projections(model.model)
        if not projections or getattr(model.model, "is_quantized", False):
            raise InputError(
                f"model {model.name!r} has no linear layers in its decoder, or quantised ones; use --layers output"
            )
        model.model.requires_grad_(False)
        model.model.get_input_embeddings().register_forward_hook(self._open)
        for projection in projections:
            projection.module.register_forward_hook(self._recorder(projection))
        self._weight_squared = {projection.name: _squared_norm(projection.matrix) for projection in projections}

    def response_states(self, rows: Sequence[Encoded]) -> tuple[Tensor, Tape]:
        """Return `response_states.response_states` with its autograd graph, and the tape that `backward` completes."""
        ids = pad_right([item.ids for item in rows]).to(self._model.device)
        self._local.tape = tape = Tape()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                states = hidden_states(self._model.model, ids)
                positions = response_positions(rows, ids.shape[1]).to(ids.device)
                return states.flatten(0, 1)[positions], tape
        finally:
            self._local.tape = None

    def backward(self, states: Tensor, gradient: Tensor, tape: Tape, rate: float) -> dict[str, NDArray[np.float64]]:
        """Return ``don`` and ``nod`` of each example, each (B,), summed over the layers of the tape.

        Parameters
        ----------
        states : Tensor of shape (M, d)
            From `response_states`.
        gradient : Tensor of shape (M, d)
            Of each example's mean loss with respect to its states.
        tape : Tape
            From `response_states`; its inputs are released here.
        rate : float
            η, > 0.
        """
        # Cloned outside inference mode: autograd refuses tensors that were created inside it.
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
        """Require gradients of the embedding's output: with frozen weights autograd would build no graph otherwise."""
        return output if self._tape() is None else output.requires_grad_()

    def _recorder(self, projection: Projection) -> Any:
        def record(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            tape = self._tape()
            if tape is None:
                return
            if projection.name in tape.inputs:
                raise InputError(
                    f"layer {projection.name} is used twice in one forward pass; use --layers output for this model"
                )
            tape.inputs[projection.name] = inputs[0].detach()
            bias = getattr(module, "bias", None)
            # W a without the bias: the bias is a parameter of its own and not part of ⟨W, G⟩.
            product = output.detach() if bias is None else output.detach() - bias
            output.register_hook(lambda gradient: _reduce(tape, projection.name, product, gradient))

        return record

    def _tape(self) -> Tape | None:
        return getattr(self._local, "tape", None)


def _reduce(tape: Tape, name: str, product: Tensor, gradient: Tensor) -> None:
    """Record a layer's sums for each example, and release its inputs."""
    inputs = tape.inputs.pop(name)
    tape.alignment[name] = (gradient.float() * product.float()).sum((1, 2), dtype=torch.float64)
    # One example at a time: the Gram matrices of a whole batch would not fit into memory for long rows.
    pairs = zip(gradient, inputs, strict=True)
    tape.squared[name] = torch.stack([signals.gradient_norm_squared(b.float(), a.float()) for b, a in pairs])


def _squared_norm(matrix: Tensor) -> float:
    return float(sum(row.to("cpu", torch.float64).square().sum().item() for row in matrix.split(4096)))
