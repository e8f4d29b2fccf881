"""How much rows use each expert, layer by layer, on the unchanged model.

With g_te the gate of expert e for token t, 0 unless the router chose it: ``choices`` how many tokens chose e,
``gates`` Σ_t g_te, ``norms`` Σ ‖E_e(x_t)‖ over the tokens that chose it, ``weight`` Σ_t g_te ‖E_e(x_t)‖, what e adds
to the output.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch

from curate.engines.models.expert_blocks import ExpertBlock, layer_blocks
from curate.engines.models.layerwise import record_layer_inputs, working_copy
from curate.engines.models.projections import decoder_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel


@dataclass(slots=True)
class BlockUsage:
    """What rows used of one expert block; the tensors have shape (experts,) and are float64."""

    tokens: int
    choices: torch.Tensor
    gates: torch.Tensor
    norms: torch.Tensor
    """Zeros unless outputs are measured, as `weight`."""
    weight: torch.Tensor
    probabilities: list[torch.Tensor]
    """Softmax over all experts, (tokens, experts) per row; empty unless measured."""

    def __add__(self, other: BlockUsage) -> BlockUsage:
        """Return the usage of both sets of rows."""
        return BlockUsage(
            self.tokens + other.tokens,
            self.choices + other.choices,
            self.gates + other.gates,
            self.norms + other.norms,
            self.weight + other.weight,
            self.probabilities + other.probabilities,
        )

    @property
    def usage(self) -> torch.Tensor:
        """Share of all choices; adds up to 1."""
        return self.choices / self.choices.sum()

    @property
    def effective(self) -> float:
        """Effective number of experts, exp of the entropy of `usage`."""
        share = self.usage[self.usage > 0]
        return float(torch.exp(-(share * share.log()).sum()))


def expert_usage(
    model: PreTrainedModel,
    rows: Sequence[torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    *,
    outputs: bool = False,
    probabilities: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[BlockUsage]:
    """Return the usage of every expert block over all rows, in the order of `expert_blocks`; see `row_usages`."""
    by_row = row_usages(model, rows, device, dtype, outputs=outputs, probabilities=probabilities, progress=progress)
    return [total(one) for one in by_row]


def total(usages: Sequence[BlockUsage]) -> BlockUsage:
    """Return the usage of all rows of one block."""
    return reduce(BlockUsage.__add__, usages)


@torch.no_grad()
def row_usages(
    model: PreTrainedModel,
    rows: Sequence[torch.Tensor],
    device: torch.device,
    dtype: torch.dtype,
    *,
    outputs: bool = False,
    probabilities: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[BlockUsage]]:
    """Return for every expert block, in the order of `expert_blocks`, the usage of each row.

    Parameters
    ----------
    rows : sequence of torch.Tensor
        Token ids, each (1, T) int64. They run one by one without padding, so that only real tokens count.
    device, dtype
        Where and in which number format one layer at a time runs.
    outputs : bool
        Also run every expert alone on the tokens that chose it, for its norms; JetMoE's cannot be.
    probabilities : bool
        Also keep the probabilities of all experts, of routers that do not renormalise.
    """
    _, layers = decoder_layers(model)
    inputs = record_layer_inputs(model, rows)
    usages: list[list[BlockUsage]] = []
    for index, layer in enumerate(layers):
        copied = working_copy(layer, device, dtype)
        blocks = layer_blocks(copied, index)
        measured: list[list[BlockUsage]] = [[] for _ in blocks]
        with ExitStack() as hooks:
            for block, into in zip(blocks, measured, strict=True):
                hook = block.router.register_forward_hook(_measuring(block, into, outputs, probabilities))
                hooks.callback(hook.remove)
            inputs.hidden = [after.cpu() for _, after in inputs.run_layer(copied, index, device, dtype)]
        usages += measured
        if progress is not None:
            progress(index + 1, len(layers))
    return usages


def _measuring(block: ExpertBlock, into: list[BlockUsage], outputs: bool, probabilities: bool) -> Any:
    """Return a hook of the router that appends the usage of one row."""

    def measure(_: torch.nn.Module, arguments: tuple[Any, ...], returned: Any) -> None:
        logits, gates, experts = block.choices(returned)
        zeros = torch.zeros(block.count, dtype=torch.float64, device=gates.device)
        norms, weight = zeros.clone(), zeros.clone()
        if outputs and block.experts is not None:
            sizes = _output_norms(block.experts, arguments[0].reshape(-1, arguments[0].shape[-1]), experts)
            norms = zeros.index_add(0, experts.flatten(), sizes.flatten())
            weight = zeros.index_add(0, experts.flatten(), (sizes * gates.double()).flatten())
        choices = torch.bincount(experts.flatten(), minlength=block.count).double()
        summed = zeros.index_add(0, experts.flatten(), gates.double().flatten())
        keep = probabilities and not block.renormalised
        into.append(
            BlockUsage(
                len(experts), choices.cpu(), summed.cpu(), norms.cpu(), weight.cpu(),
                [logits.float().softmax(-1).cpu()] if keep else [],
            )
        )  # fmt: skip

    return measure


def _output_norms(run: torch.nn.Module, states: torch.Tensor, experts: torch.Tensor) -> torch.Tensor:
    """Return the norm of the output of every chosen expert, shape (tokens, top_k), float64."""
    norms = torch.zeros(experts.shape, dtype=torch.float64, device=states.device)
    for expert in experts.unique().tolist():
        tokens, slots = (experts == expert).nonzero(as_tuple=True)
        alone = torch.full((len(tokens), 1), expert, device=states.device)
        output = run(states[tokens], alone, torch.ones(len(tokens), 1, device=states.device, dtype=states.dtype))
        norms[tokens, slots] = output.double().norm(dim=-1)
    return norms
