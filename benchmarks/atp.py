"""ATP on a planted shift of domain: the rows of a selection choose the channels while they train.

    python benchmarks/atp.py [--seeds 5] [--passes 150] [--steps 1500]

ATP (arXiv 2412.14426) prunes and tunes in one run. Ours, with an exact count: a logit z of each MLP channel is trained.
Step s of the first half, of S steps, keeps the top n(s) = I · (1 − (1 − keep)(1 − (1 − s/S)³)) channels of each layer.
A mask step on held-out rows keeps those of v = z + g, g logistic noise, with the gradient of σ((v − θ)/T), θ being the
first v left out; a weight step on the other rows trains LoRA. Then the mask is frozen. It multiplies the input of
down_proj, so that masked = sliced. z starts at the standardised log importance on the selection (wanda), or 0 (flat).

The plan, written before the first run. A model of 8 layers × 64 channels learns the domains A and B, whose tokens are
disjoint, B with a quarter of the weight. The selection is 400 rows of B; half of the channels go. Two stages (compress
--method width --compensate, then LoRA) order the channels on a mixed corpus or on the selection, and train for as many
forward and backward passes as ATP, mask steps included, at its rate. Five seeds, each with its own model and rows; log
perplexity of 256 other rows of B, paired differences, 95 % intervals of Student's t. ATP (wanda) is accepted if it is
below the two stages ordered on the mixed corpus, the interval excluding 0, and in the mean not above those ordered on
the selection; if 70 % of its kept channels serve B (removing one alone raises B's loss more than A's); if the count is
exact and masked = sliced within 1e-4. Two stages without --compensate and ATP (flat) are printed beside.
"""

from __future__ import annotations

import argparse
import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from scipy.stats import t as student
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from curate.engines.compress.calibration import Calibrated
from curate.engines.compress.width.channels import mlp_channels, write_width
from curate.engines.compress.width.cut import narrow, ranked_channels

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS, LENGTH, BATCH, KEEP, RATE, MASK_RATE, TEMPERATURE, MASK_SHARE = 24, 24, 16, 0.5, 3e-3, 0.05, 0.4, 0.5
RULES = ((5, 3, 1), (7, 11, 2))
"""(a, b, c) of A and B: the next token is a·last + b·last but one + c in nine of ten cases, else any of the domain."""
ON = (torch.device("cpu"), torch.float32)
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4}


def draw(domain: int, count: int, seed: int) -> torch.Tensor:
    """Return rows of a domain, token ids of shape (count, LENGTH)."""
    generator = torch.Generator().manual_seed(2 * seed + domain)
    rows = torch.randint(0, TOKENS, (count, LENGTH), generator=generator)
    follows = torch.rand(rows.shape, generator=generator) < 0.9
    a, b, c = RULES[domain]
    for place in range(2, LENGTH):
        rule = (a * rows[:, place - 1] + b * rows[:, place - 2] + c) % TOKENS
        rows[:, place] = torch.where(follows[:, place], rule, rows[:, place])
    return 4 + TOKENS * domain + rows


def loss_of(model: Any, rows: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of the next token, in nats."""
    return cross_entropy(model(rows).logits[:, :-1].flatten(0, 1), rows[:, 1:].flatten())


def dense(seed: int, steps: int) -> Any:
    """Return a model trained on both domains, B with a quarter of the weight."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=4 + 2 * TOKENS, max_position_embeddings=LENGTH, **SIZES))
    optimiser = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        (loss_of(model, draw(0, 32, 10_000 + step)) + loss_of(model, draw(1, 32, 10_000 + step)) / 4).backward()
        optimiser.step(), schedule.step(), optimiser.zero_grad()
    return model.eval().requires_grad_(False)


def adapted(model: Any) -> Any:
    """Return the model with a LoRA adapter on every projection."""
    from peft import LoraConfig, get_peft_model  # prints to stderr when imported

    return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"))


def batches(rows: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """Yield batches of shuffled rows, pass after pass."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from rows[torch.randperm(len(rows), generator=generator)].split(BATCH)


def two_stages(whole: Any, order_on: torch.Tensor, rows: torch.Tensor, passes: int, seed: int, compensate: bool) -> Any:
    """Return the model narrowed by the order on `order_on`, then trained on `rows`."""
    calibrated = Calibrated(list(order_on[:, None]), *ON)
    narrow(model := copy.deepcopy(whole), calibrated, sparsity=1 - KEEP, compensate=compensate)
    model = adapted(model)
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], RATE, weight_decay=0.0)
    for _, batch in zip(range(passes), batches(rows, seed), strict=False):
        loss_of(model, batch).backward()
        optimiser.step(), optimiser.zero_grad()
    return model.merge_and_unload()


def top(logits: torch.Tensor, count: int, noise: torch.Tensor | None = None) -> torch.Tensor:
    """Return a mask of the `count` highest logits of every layer; with noise, of noisy ones, and it has a gradient."""
    values = logits + (0.0 if noise is None else noise)
    order = values.argsort(dim=1, descending=True, stable=True)
    hard = torch.zeros_like(values).scatter(1, order[:, :count], 1.0)
    assert bool((hard.sum(1) == count).all())
    threshold = values.gather(1, order[:, [min(count, values.shape[1] - 1)]]).detach()
    soft = ((values - threshold) / TEMPERATURE).sigmoid()
    return hard if noise is None else hard + soft - soft.detach()


def prune_and_tune(whole: Any, start: torch.Tensor, rows: torch.Tensor, passes: int, seed: int) -> tuple[Any, Any]:
    """Return the trained and sliced model, and the mask that was learnt, shape (layers, channels)."""
    logits, mask, model = start.clone().requires_grad_(), torch.ones_like(start), adapted(copy.deepcopy(whole))
    for layer, block in enumerate(model.base_model.model.model.layers):
        block.mlp.down_proj.register_forward_pre_hook(lambda _, given, i=layer: (given[0] * mask[i],))
    weights = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], RATE, weight_decay=0.0)
    gates = torch.optim.AdamW([logits], MASK_RATE, weight_decay=0.0)
    held, kept = batches(rows[: len(rows) // 10], seed + 1), int(KEEP * logits.shape[1])
    moving = passes - (steps := round(passes / (1 + MASK_SHARE)))
    for step, batch in zip(range(steps), batches(rows[len(rows) // 10 :], seed), strict=False):
        count = max(kept, round(logits.shape[1] * (1 - (1 - KEEP) * (1 - max(0.0, 1 - step / moving) ** 3))))
        if step < moving:
            generator = torch.Generator().manual_seed(seed * 100_003 + step)
            mask = top(logits, count, torch.rand(start.shape, generator=generator).clamp(1e-6, 1 - 1e-6).logit())
            loss_of(model, next(held)).backward()
            gates.step(), gates.zero_grad(), weights.zero_grad()
        mask = top(logits, count)
        loss_of(model, batch).backward()
        weights.step(), weights.zero_grad()
    with torch.no_grad():
        masked = model(rows[:BATCH]).logits
        sliced = model.merge_and_unload()
        for block, of_layer, mlp in zip(sliced.model.layers, mask, mlp_channels(sliced), strict=True):
            block.mlp.down_proj._forward_pre_hooks.clear()
            mlp.keep(of_layer.nonzero().flatten())
        write_width(sliced, logits.shape[1], kept)
        assert float((sliced(rows[:BATCH]).logits - masked).abs().max()) < 1e-4
    return sliced, mask


@torch.no_grad()
def of_b(whole: Any, rows: list[torch.Tensor]) -> torch.Tensor:
    """Return for every channel whether removing it alone raises the loss on B more than that on A."""
    serves = []
    for mlp in mlp_channels(whole):
        weight = mlp.out.matrix.clone()
        for channel in range(mlp.count):
            mlp.out.matrix[:, channel] = 0.0
            serves.append([float(loss_of(whole, one)) for one in rows])
            mlp.out.matrix.copy_(weight)
    rises = torch.tensor(serves) - torch.tensor([float(loss_of(whole, one)) for one in rows])
    return (rises[:, 1] > rises[:, 0]).reshape(len(whole.model.layers), -1)


def measured(seed: int, passes: int, steps: int) -> dict[str, float]:
    """Return the log perplexities on B of one seed's models, and the share of the kept channels that serve B."""
    whole, selection, test = dense(seed, steps), draw(1, 400, seed), draw(1, 256, 1_000 + seed)
    mixed = torch.cat([draw(domain, 200, 2_000 + seed) for domain in (0, 1)])
    ranked = ranked_channels(whole, mlp_channels(whole), Calibrated(list(selection[:, None]), *ON), "wanda", False, 0)
    scores = torch.stack([one.clamp(min=1e-12).log().float() for _, one, _ in ranked])
    wanda = (scores - scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True)
    result = {"dense": loss_of(whole, test).item(), "dense on A": loss_of(whole, draw(0, 256, 1_000 + seed)).item()}
    for name, rows in (("mixed", mixed), ("selection", selection)):
        for compensate in (True, False):
            model = two_stages(whole, rows, selection, passes, seed, compensate)
            result[f"two stages, {name}{', compensated' * compensate}"] = loss_of(model, test).item()
    serving = of_b(whole, [draw(domain, 32, 3_000 + seed) for domain in (0, 1)])
    result["share of all channels that serve B"] = serving.float().mean().item()
    for name, start in (("wanda", wanda), ("flat", torch.zeros_like(wanda))):
        model, mask = prune_and_tune(whole, start, selection, passes, seed)
        result[f"ATP, {name}"] = loss_of(model, test).item()
        result[f"share of ATP, {name} that serves B"] = serving[mask.bool()].float().mean().item()
    return result


def main() -> None:
    """Run all seeds, and print perplexities and ATP's paired differences from the two stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--seeds", 5), ("--passes", 150), ("--steps", 1_500)):
        parser.add_argument(name, type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs: list[dict[str, float]] = []
    for seed in range(given.seeds):
        runs.append(measured(seed, given.passes, given.steps))
        print(f"seed {seed}: {runs[-1]}", flush=True)
    for name in runs[0]:
        shown = [run[name] if "serve" in name else math.exp(run[name]) for run in runs]
        print(f"{name:<42}" + " ".join(f"{one:8.3f}" for one in shown))
    for atp in ("ATP, wanda", "ATP, flat"):
        for other in (name for name in runs[0] if name.startswith("two stages")):
            apart = torch.tensor([run[atp] - run[other] for run in runs], dtype=torch.float64)
            mean, half = apart.mean(), student.ppf(0.975, len(runs) - 1) * apart.std() / len(runs) ** 0.5
            print(f"log perplexity, {atp} − {other}: {mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]")


if __name__ == "__main__":
    main()
