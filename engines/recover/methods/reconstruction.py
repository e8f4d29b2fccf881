"""Layer-wise reconstruction: trains each pruned decoder layer to reproduce the output of the original's layer.

Per layer, min ‖ f_pruned(x̂) − f_original(x) ‖² over the layer's own weights, zeros frozen (PERP, arXiv 2312.15230,
§3.3, which does it per linear layer; whole decoder layers are from its successor). x is the layer's input in the
original, x̂ its input in the pruned model with all earlier layers reconstructed, so that a layer also corrects the
remaining error of those before it. Needs a few sequences and the gradients of one layer at a time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from curate.engines.models.layerwise import LayerInputs, record_layer_inputs
from curate.engines.models.projections import decoder_layers
from curate.engines.recover.methods.sparsity import freeze_zeros
from curate.engines.recover.observer import SILENT, Interrupted, Observer
from curate.schemas.errors import UsageError, WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import nn
    from transformers import PreTrainedModel

    from curate.engines.tokens.templates import Encoded

SEQUENCES = 128
"""Sequences that the layers are compared on."""
EPOCHS = 10
BATCH = 8
"""Sequences of one optimiser step."""
LEARNING_RATE = 5e-4
"""Learning rate of the first step; falls linearly to zero over a layer's steps."""


def reconstruct(
    model: PreTrainedModel,
    original: PreTrainedModel,
    rows: Sequence[Encoded],
    seed: int,
    *,
    folder: Path | None = None,
    observer: Observer = SILENT,
) -> list[dict[str, float]]:
    """Reconstruct the layers of `model` in place and return the error of each before and after.

    Parameters
    ----------
    model : PreTrainedModel
        The pruned model. A layer is trained in float32 and converted back to its own dtype.
    original : PreTrainedModel
        The model before compression, with as many layers of the same widths.
    rows : sequence of Encoded
        `SEQUENCES` of them are drawn.
    seed : int
        Decides which rows, and their order.
    folder : Path, optional
        Finished layers are saved here; saved ones are loaded instead of trained.
    observer : Observer
        `should_stop` is called before every layer, `on_layer` after it.

    Returns
    -------
    list of dict
        ``before`` and ``after`` of each layer: the error relative to the original's output, ‖·‖²/‖·‖², ≥ 0.

    Raises
    ------
    UsageError
        When the layers of the two models cannot be compared.
    Interrupted
        When the observer requested it.
    """
    layers, original_layers = _comparable_layers(model, original)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(rows))[:SEQUENCES])
    ids = [torch.from_numpy(rows[row].ids)[None] for row in drawn]
    inputs = _differentiable(record_layer_inputs(model, ids))
    targets = _differentiable(record_layer_inputs(original, ids))
    errors: list[dict[str, float]] = []
    for index, (layer, original_layer) in enumerate(zip(layers, original_layers, strict=True)):
        if observer.should_stop():
            raise Interrupted(
                f"stopped before layer {index + 1} of {len(layers)}; run the same command again to resume"
            )
        with torch.no_grad():
            targets.hidden = list(_outputs(original_layer, targets, index, model.device))
        saved = None if folder is None else folder / f"layer-{index:04d}"
        error = None if saved is None else _load_layer(layer, saved)
        if error is None:
            dtype = next(layer.parameters()).dtype
            error = _fit(layer.float(), inputs, targets.hidden, index, [seed, index], model.device)
            layer.to(dtype)
            if saved is not None:
                _save_layer(layer, error, saved)
        errors.append(error)
        with torch.no_grad():
            # From the layer as it is stored, rounded: that is what the next layer will get.
            inputs.hidden = list(_outputs(layer, inputs, index, model.device))
        observer.on_layer(index + 1, len(layers))
    return errors


def _comparable_layers(model: PreTrainedModel, original: PreTrainedModel) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return the decoder layers of both models; raise UsageError if they cannot be compared or trained."""
    _, layers = decoder_layers(model)
    _, original_layers = decoder_layers(original)
    if len(layers) != len(original_layers):
        raise UsageError(
            f"--reconstruct compares layer by layer, and the model has {len(layers)} where the original has "
            f"{len(original_layers)}; train it without"
        )
    quantised = next((name for name, one in model.named_parameters() if not one.is_floating_point()), None)
    if quantised is not None:
        raise UsageError(f"--reconstruct changes weights, and {quantised} is quantised; train an adapter without it")
    return layers, original_layers


def _fit(
    layer: nn.Module,
    inputs: LayerInputs,
    targets: Sequence[torch.Tensor],
    index: int,
    seed: Sequence[int],
    device: torch.device,
) -> dict[str, float]:
    """Train one layer towards `targets` and return its error before and after."""
    layer.requires_grad_(True)
    trained = dict(layer.named_parameters())
    hooks = freeze_zeros(layer, trained)
    optimiser = torch.optim.AdamW(trained.values(), lr=LEARNING_RATE, weight_decay=0.0)
    before = _relative_error(layer, inputs, targets, index, device)
    steps_per_epoch = -(-len(targets) // BATCH)
    for step in range(EPOCHS * steps_per_epoch):
        epoch, number = divmod(step, steps_per_epoch)
        order = np.random.default_rng([*seed, epoch]).permutation(len(targets))
        batch = [int(row) for row in order[number * BATCH : (number + 1) * BATCH]]
        # Relative to the batch's targets: one learning rate then suits layers of any output scale.
        scale = sum(float(targets[row].square().sum()) for row in batch)
        selected = LayerInputs([inputs.hidden[row] for row in batch], [[inputs.calls[index][row] for row in batch]])
        # Sequence by sequence: gradients add up, and only one graph is in memory.
        for out, row in zip(_outputs(layer, selected, 0, device), batch, strict=True):
            ((out - targets[row].to(device)).square().sum() / scale).backward()
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / (EPOCHS * steps_per_epoch))
        optimiser.step()
        optimiser.zero_grad()
    for hook in hooks:
        hook.remove()
    layer.requires_grad_(False)
    return {"before": before, "after": _relative_error(layer, inputs, targets, index, device)}


@torch.no_grad()
def _relative_error(
    layer: nn.Module, inputs: LayerInputs, targets: Sequence[torch.Tensor], index: int, device: torch.device
) -> float:
    """Return ‖out − target‖² / ‖target‖² over all sequences."""
    outs = _outputs(layer, inputs, index, device)
    squared = sum(float((out - one.to(device)).square().sum()) for out, one in zip(outs, targets, strict=True))
    return squared / max(sum(float(one.square().sum()) for one in targets), 1e-30)


def _outputs(layer: nn.Module, inputs: LayerInputs, index: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Yield the output of `layer` for each sequence."""
    for _, out in inputs.run_layer(layer, index, device, next(layer.parameters()).dtype):
        yield out


def _differentiable(inputs: LayerInputs) -> LayerInputs:
    """Return a copy of inputs that were recorded in inference mode: autograd refuses such tensors."""
    return LayerInputs(_cloned(inputs.hidden), _cloned(inputs.calls))


def _cloned(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(_cloned(one) for one in value)
    if isinstance(value, dict):
        return {key: _cloned(one) for key, one in value.items()}
    return value


def _save_layer(layer: nn.Module, error: dict[str, float], folder: Path) -> None:
    """Save a finished layer. The errors are written last: a folder without them is incomplete."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: one.detach().cpu().contiguous() for name, one in layer.named_parameters()}
        save_file(state, folder / "layer.safetensors")
        unfinished = folder / ".tmp-errors.json"
        unfinished.write_text(json.dumps(error), "utf-8")
        unfinished.rename(folder / "errors.json")
    except (OSError, SafetensorError) as failure:
        raise WarehouseError(f"cannot save the reconstructed layer {folder} ({failure}); free some space") from failure


def _load_layer(layer: nn.Module, folder: Path) -> dict[str, float] | None:
    """Load a finished layer's weights and return its errors, None if it is not finished."""
    if not (folder / "errors.json").is_file():
        return None
    state = load_file(folder / "layer.safetensors")
    with torch.no_grad():
        for name, one in layer.named_parameters():
            one.copy_(state[name])
    error: dict[str, float] = json.loads((folder / "errors.json").read_text("utf-8"))
    return error
