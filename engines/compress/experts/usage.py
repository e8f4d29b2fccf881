"""How much the calibration rows use each expert, layer by layer, on the unchanged model.

``usage`` share of a layer's token–expert choices; ``weight`` Σ_t g_te ‖E_e(x_t)‖ over the tokens that chose expert e,
what it adds to the output. For routers that do not renormalise, the probabilities of all experts are kept too.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.compress.experts.layouts import ExpertBlock, layer_blocks
from curate.engines.models.layerwise import record_layer_inputs, working_copy
from curate.engines.models.projections import decoder_layers
from curate.schemas.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

    from curate.engines.compress.calibration import Calibrated


@dataclass(slots=True)
class BlockUsage:
    """What the calibration rows used of one expert block."""

    choices: torch.Tensor
    """Shape (experts,), float64: choices of each expert, over tokens and the top-k slots."""
    weight: torch.Tensor
    """Shape (experts,), float64: Σ of gate times norm of the expert's output; zeros unless measured."""
    probabilities: list[torch.Tensor]
    """Softmax over all experts, (tokens, experts) per row; empty for routers that renormalise."""

    @property
    def usage(self) -> torch.Tensor:
        """Shape (experts,), float64: share of all choices; adds up to 1."""
        return self.choices / self.choices.sum()

    @property
    def effective(self) -> float:
        """Effective number of experts, exp of the entropy of `usage`."""
        share = self.usage[self.usage > 0]
        return float(torch.exp(-(share * share.log()).sum()))


@torch.no_grad()
def expert_usage(model: PreTrainedModel, calibrated: Calibrated, *, weigh: bool = False) -> list[BlockUsage]:
    """Return the usage of every expert block, in the order of `expert_blocks`.

    Parameters
    ----------
    weigh : bool
        Also run each expert on the tokens that chose it, for ``weight``.

    Raises
    ------
    UsageError
        If `weigh` and the experts cannot be run one by one (JetMoE).
    """
    path, layers = decoder_layers(model)
    inputs = record_layer_inputs(model, calibrated.rows)
    usages: list[BlockUsage] = []
    for index, layer in enumerate(layers):
        copied = working_copy(layer, calibrated.device, calibrated.dtype)
        blocks = layer_blocks(copied, index)
        measured = [_empty(block) for block in blocks]
        with ExitStack() as hooks:
            for block, usage in zip(blocks, measured, strict=True):
                hook = block.router.register_forward_hook(_counting(block, usage, weigh))
                hooks.callback(hook.remove)
            inputs.hidden = [
                after.cpu() for _, after in inputs.run_layer(copied, index, calibrated.device, calibrated.dtype)
            ]
        usages += measured
        if calibrated.progress is not None:
            calibrated.progress(index + 1, len(layers))
    return usages


def _empty(block: ExpertBlock) -> BlockUsage:
    zeros = torch.zeros(block.count, dtype=torch.float64)
    return BlockUsage(zeros, zeros.clone(), [])


def _counting(block: ExpertBlock, usage: BlockUsage, weigh: bool) -> Any:
    """Return a hook of the router that adds a row's choices to `usage`."""

    def count(_: torch.nn.Module, arguments: tuple[Any, ...], returned: Any) -> None:
        logits, gates, experts = block.choices(returned)
        usage.choices += torch.bincount(experts.flatten(), minlength=block.count).double().cpu()
        if not block.renormalised:
            usage.probabilities.append(logits.float().softmax(-1).cpu())
        if weigh:
            for expert, norm in _outputs(block, arguments[0].reshape(-1, arguments[0].shape[-1]), experts, gates):
                usage.weight[expert] += norm

    return count


def _outputs(
    block: ExpertBlock, states: torch.Tensor, experts: torch.Tensor, gates: torch.Tensor
) -> Iterator[tuple[int, float]]:
    """Yield each chosen expert with Σ gate · ‖its output‖ over the tokens that chose it."""
    run = getattr(block.module, "experts", None)
    if run is None:
        raise UsageError("--experts-by weight cannot run the experts of this model one by one; use usage or random")
    for expert in experts.unique().tolist():
        tokens, slots = (experts == expert).nonzero(as_tuple=True)
        alone = torch.full((len(tokens), 1), expert, device=states.device)
        output = run(states[tokens], alone, torch.ones(len(tokens), 1, device=states.device, dtype=states.dtype))
        yield expert, float((gates[tokens, slots].double() * output.double().norm(dim=-1)).sum())
