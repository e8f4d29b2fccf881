"""Block-wise reconstruction: each pruned decoder layer learns to give what the original's layer gives.

Per layer, min ‖ f_pruned(x̂) − f_original(x) ‖² over the layer's own weights, zeros held (PERP, arXiv 2312.15230, §3.3,
layer by layer there, whole decoder layers here, as in its successor). x is what reaches the layer in the original, x̂
what reaches it in the pruned model whose earlier layers are reconstructed already, so that their remaining error is
made good too. Needs a handful of sequences and one layer's gradients at a time. Knows nothing of losses on text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from curate.engines.compress.layerwise import LayerInputs, record_layer_inputs
from curate.engines.models.projections import decoder_layers
from curate.engines.recover.methods.sparsity import hold_zeros
from curate.schemas.errors import UsageError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from torch import nn
    from transformers import PreTrainedModel

    from curate.engines.tokens.templates import Encoded

SEQUENCES = 128
"""Sequences that the layers are compared on."""
EPOCHS = 10
BATCH = 8
"""Sequences of one optimiser step."""
RATE = 5e-4
"""Learning rate of the first step; falls linearly to zero over a layer's steps."""


def reconstruct(
    model: PreTrainedModel,
    original: PreTrainedModel,
    rows: Sequence[Encoded],
    seed: int,
    *,
    kept: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Change the layers of `model` in place and return the error of each before and after.

    Parameters
    ----------
    model : PreTrainedModel
        The pruned model. A layer is trained in float32 and goes back to its own number format.
    original : PreTrainedModel
        The model before compression, with as many layers of the same widths.
    rows : sequence of Encoded
        `SEQUENCES` of them are drawn.
    seed : int
        Decides which, and their order.
    kept : Path, optional
        Folder that finished layers are kept in; those that are there already are put back instead of made.
    stop : callable
        Asked before every layer; True ends the work with `Interrupted`.
    say : callable, optional
        Called with (layers done, layers in all).

    Returns
    -------
    list of dict
        ``before`` and ``after`` of each layer: the error relative to the original's output, ‖·‖²/‖·‖², ≥ 0.

    Raises
    ------
    UsageError
        When the two models' layers cannot be compared.
    """
    from curate.engines.recover.training.loop import Interrupted

    _, layers = decoder_layers(model)
    _, wanted = decoder_layers(original)
    if len(layers) != len(wanted):
        raise UsageError(
            f"--reconstruct compares layer by layer, and the model has {len(layers)} where the original has "
            f"{len(wanted)}; train it without"
        )
    fixed = next((name for name, one in model.named_parameters() if not one.is_floating_point()), None)
    if fixed is not None:
        raise UsageError(f"--reconstruct changes weights, and {fixed} is quantised; train an adapter without it")
    drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[:SEQUENCES])
    ids = [torch.from_numpy(rows[row].ids)[None] for row in drawn]
    own, ideal = _usable(record_layer_inputs(model, ids)), _usable(record_layer_inputs(original, ids))
    errors: list[dict[str, float]] = []
    for index, (layer, goal) in enumerate(zip(layers, wanted, strict=True)):
        if stop():
            raise Interrupted(f"stopped before layer {index + 1} of {len(layers)}; the same command goes on there")
        with torch.no_grad():
            ideal.hidden = list(_outputs(goal, ideal, index, model.device))
        found = None if kept is None else _put_back(layer, kept / f"layer-{index:04d}")
        if found is None:
            stored = next(layer.parameters()).dtype
            found = _fit(layer.float(), own, ideal.hidden, index, [seed, index], model.device)
            layer.to(stored)
            if kept is not None:
                _keep(layer, found, kept / f"layer-{index:04d}")
        errors.append(found)
        with torch.no_grad():
            own.hidden = list(_outputs(layer, own, index, model.device))
        if say is not None:
            say(index + 1, len(layers))
    return errors


def _fit(
    layer: nn.Module,
    own: LayerInputs,
    goal: Sequence[torch.Tensor],
    index: int,
    seed: Sequence[int],
    device: torch.device,
) -> dict[str, float]:
    """Train one layer towards `goal` and return its error before and after."""
    layer.requires_grad_(True)
    trained = dict(layer.named_parameters())
    hooks = hold_zeros(layer, trained)
    optimiser = torch.optim.AdamW(trained.values(), lr=RATE, weight_decay=0.0)
    before = _error(layer, own, goal, index, device)
    per_epoch = -(-len(goal) // BATCH)
    for step in range(EPOCHS * per_epoch):
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([*seed, epoch]).permutation(len(goal))
        chosen = [int(row) for row in order[place * BATCH : (place + 1) * BATCH]]
        scale = sum(float(goal[row].square().sum()) for row in chosen)
        part = LayerInputs([own.hidden[row] for row in chosen], [[own.calls[index][row] for row in chosen]])
        for out, row in zip(_outputs(layer, part, 0, device), chosen, strict=True):
            ((out - goal[row].to(device)).square().sum() / scale).backward()
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - step / (EPOCHS * per_epoch))
        optimiser.step()
        optimiser.zero_grad()
    for hook in hooks:
        hook.remove()
    layer.requires_grad_(False)
    return {"before": before, "after": _error(layer, own, goal, index, device)}


@torch.no_grad()
def _error(layer: nn.Module, own: LayerInputs, goal: Sequence[torch.Tensor], index: int, device: torch.device) -> float:
    """Return ‖out − goal‖² / ‖goal‖² over all sequences."""
    outs = _outputs(layer, own, index, device)
    off = sum(float((out - one.to(device)).square().sum()) for out, one in zip(outs, goal, strict=True))
    return off / max(sum(float(one.square().sum()) for one in goal), 1e-30)


def _outputs(layer: nn.Module, stream: LayerInputs, index: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Yield what `layer` makes of each sequence."""
    for _, out in stream.run_layer(layer, index, device, next(layer.parameters()).dtype):
        yield out


def _usable(stream: LayerInputs) -> LayerInputs:
    """Return a stream recorded in inference mode as one that gradients may pass through."""
    return LayerInputs(_cloned(stream.hidden), _cloned(stream.calls))


def _cloned(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(_cloned(one) for one in value)
    if isinstance(value, dict):
        return {key: _cloned(one) for key, one in value.items()}
    return value


def _keep(layer: nn.Module, found: dict[str, float], folder: Path) -> None:
    """Keep a finished layer, whole or not at all: the errors are written last."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: one.detach().cpu().contiguous() for name, one in layer.named_parameters()}
        save_file(state, folder / "layer.safetensors")
        unfinished = folder / ".tmp-errors.json"
        unfinished.write_text(json.dumps(found), "utf-8")
        unfinished.rename(folder / "errors.json")
    except (OSError, SafetensorError) as error:
        raise WarehouseError(f"cannot keep the reconstructed layer {folder} ({error}); free some space") from error


def _put_back(layer: nn.Module, folder: Path) -> dict[str, float] | None:
    """Put a finished layer's weights back and return its errors, None where it is not finished."""
    if not (folder / "errors.json").is_file():
        return None
    state = load_file(folder / "layer.safetensors")
    with torch.no_grad():
        for name, one in layer.named_parameters():
            one.copy_(state[name])
    found: dict[str, float] = json.loads((folder / "errors.json").read_text("utf-8"))
    return found
