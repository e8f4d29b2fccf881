"""The training loop: exact losses, steps that do not depend on memory, resuming, and explained failures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from references.compress import WORDS, tiny_model, tiny_tokenizer
from references.recover import mean_nll
from transformers import LlamaConfig

from curate.engines.compress.magnitude import prune_magnitude
from curate.engines.recover.methods.attach import Adaptation, attach
from curate.engines.recover.observer import Interrupted, Observer
from curate.engines.recover.training.checkpoints import Checkpoints
from curate.engines.recover.training.divergence import divergence
from curate.engines.recover.training.loop import rate_at, train
from curate.engines.recover.training.loss import perplexity, response_loss
from curate.engines.recover.training.objective import Objective
from curate.engines.recover.training.rows import BatchPlan, encode_rows, make_batch
from curate.engines.tokens.templates import Template
from curate.schemas.corpus import Turn
from curate.schemas.defaults import CHUNK_LOGITS
from curate.schemas.errors import CurateError, InputError, UsageError, WarehouseError
from curate.schemas.recovery import RecoveryMethod, RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from curate.engines.tokens.templates import Encoded

REQUEST = RecoveryRequest(
    method="mask_lora", learning_rate=1e-2, rank=2, batch=6, epochs=3, batch_tokens=64, checkpoint_steps=4
)


def llama(**changes: Any) -> LlamaConfig:
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    return LlamaConfig(**{**sizes, **heads, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **changes})


def rows(n: int = 20) -> list[Encoded]:
    words = [*WORDS, *WORDS]
    turns = [
        [Turn("user", " ".join(words[i % 20 : i % 20 + 2 + i % 5])), Turn("assistant", words[i % 20])] for i in range(n)
    ]
    return encode_rows(Template(tiny_tokenizer(), "auto", 64), turns)[0]


def adapted(method: RecoveryMethod = "mask_lora", request: RecoveryRequest = REQUEST) -> Adaptation:
    model = tiny_model(llama())
    prune_magnitude(model, sparsity=0.5)
    return attach(model, method, request)


def weights(adaptation: Adaptation) -> list[torch.Tensor]:
    return [one.detach().clone() for one in adaptation.trainable.values()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("batch_tokens", [1, 40, 10_000])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_is_the_mean_over_its_supervised_tokens_however_it_is_batched(
    batch_tokens: int, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare the gradient of one step with that of each row run alone."""
    request = RecoveryRequest(
        method="full", batch=20, epochs=1, batch_tokens=batch_tokens, gradient_checkpointing=checkpointing
    )
    adaptation, encoded = adapted("full"), rows()
    expected = mean_nll(adaptation.model, encoded)
    gradients = torch.autograd.grad(expected, list(adaptation.trainable.values()))
    taken: list[torch.Tensor] = []

    def take(parameters: Any, _: float) -> torch.Tensor:
        taken.extend(one.grad.clone() for one in parameters)
        return torch.ones(())

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", take)
    (step,) = train(adaptation, encoded, request).metrics
    assert step["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert step["tokens"] == sum(len(row.ids) for row in encoded)
    for name, got, expected_gradient in zip(adaptation.trainable, taken, gradients, strict=True):
        frozen = 1 if "proj" not in name else adaptation.trainable[name] != 0
        assert torch.allclose(got, expected_gradient * frozen, rtol=1e-3, atol=1e-6), name


def test_long_responses_pass_through_the_output_head_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    adaptation, batch = adapted("full"), make_batch(rows(), torch.device("cpu"))
    whole = response_loss(adaptation.model, batch)
    one = torch.autograd.grad(whole, list(adaptation.trainable.values()))
    monkeypatch.setitem(CHUNK_LOGITS, "cpu", 7 * 32)
    chunked = response_loss(adaptation.model, batch)
    assert chunked.item() == pytest.approx(whole.item(), rel=1e-5)
    other = torch.autograd.grad(chunked, list(adaptation.trainable.values()))
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(one, other, strict=True))


def test_perplexity_is_over_all_supervised_tokens() -> None:
    model, encoded = tiny_model(llama()), rows()
    expected = mean_nll(model, encoded).exp().item()
    for budget in (1, 50, 5000):
        assert perplexity(model, encoded, budget) == pytest.approx(expected, rel=1e-4)


def test_every_pass_takes_every_row_once_in_its_own_order() -> None:
    plan = BatchPlan(20, 6, 2.5, seed=1)
    assert (plan.steps_per_epoch, plan.steps) == (4, 10)
    passes = [[row for step in range(4 * e, 4 * e + 4) for row in plan.rows(step)] for e in (0, 1)]
    assert all(sorted(one) == list(range(20)) for one in passes)
    assert passes[0] != passes[1]
    assert [BatchPlan(20, 6, 2.5, seed=s).rows(3) == plan.rows(3) for s in (1, 2)] == [True, False]
    assert BatchPlan(3, 64, 0.01, 0).steps == 1


def test_the_learning_rate_rises_and_falls() -> None:
    for schedule in ("cosine", "linear"):
        rates = [rate_at(step, 100, 0.1, schedule) for step in range(101)]
        assert rates[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
        assert rates[10] == 1.0
        assert all(a > b for a, b in zip(rates[10:], rates[11:], strict=False))
        assert rates[100] == pytest.approx(0.0, abs=1e-12)
        assert rates[55] == pytest.approx(0.5)
    assert rate_at(0, 1, 0.0, "cosine") == 1.0


@pytest.mark.parametrize("method", ["lora", "mask_lora", "scale_lora", "perp", "full"])
def test_a_stopped_run_resumes_to_the_same_weights(method: RecoveryMethod, tmp_path: Path) -> None:
    request = replace(REQUEST, method=method, batch_tokens=None, dropout=0.2)
    uninterrupted = adapted(method)
    expected = train(uninterrupted, rows(), request)
    assert len(expected.metrics) == 12
    checkpoints = Checkpoints(tmp_path / "c", "cause")
    answers = iter([False] * 6 + [True] + [False] * 99)
    stopping = Observer(should_stop=lambda: next(answers))
    for last in (7, 12):
        attempt = adapted(method)
        torch.rand(last)  # dropout must not depend on what the process drew before
        if last == 7:
            with pytest.raises(Interrupted, match="stopped at step 7 of 12; run the same command again to resume"):
                train(attempt, rows(), request, checkpoints=checkpoints, observer=stopping)
            assert checkpoints.latest() == tmp_path / "c" / "step-000007"
        else:
            progress = train(attempt, rows(), request, checkpoints=checkpoints)
    assert same(weights(attempt), weights(uninterrupted))
    assert [e["loss"] for e in progress.metrics] == [e["loss"] for e in expected.metrics]
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["step-000008", "step-000012"]


def test_checkpoints_of_another_run_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    train(adapted(), rows(), REQUEST, checkpoints=Checkpoints(tmp_path, "one"))
    with pytest.raises(UsageError, match="belongs to a recovery with other rows"):
        train(adapted(), rows(), REQUEST, checkpoints=Checkpoints(tmp_path, "other"))
    (tmp_path / "step-000012" / "state.safetensors").write_bytes(b"no")
    with pytest.raises(WarehouseError, match="cannot be read"):
        train(adapted(), rows(), REQUEST, checkpoints=Checkpoints(tmp_path, "one"))
    Checkpoints(tmp_path, "one").clear()
    assert Checkpoints(tmp_path, "one").latest() is None


def limited(adaptation: Adaptation, tokens: int) -> Callable[[Any], torch.Tensor]:
    """Return the loss on a device that holds only `tokens` at a time."""

    def loss(batch: Any) -> torch.Tensor:
        value = response_loss(adaptation.model, batch)
        if batch.ids.numel() > tokens:
            value.backward()  # memory runs out after some gradients were added
            raise torch.OutOfMemoryError("CUDA out of memory")
        return value

    return loss


def test_out_of_memory_halves_the_pass_and_keeps_the_step() -> None:
    unlimited, small = adapted(), adapted()
    expected = train(unlimited, rows(), REQUEST)
    with pytest.warns(RuntimeWarning, match="out of memory: continuing with forward passes of 30 tokens"):
        progress = train(small, rows(), REQUEST, objective=Objective(limited(small, 40)))
    assert progress.batch_tokens == 30
    for one, other in zip(progress.metrics, expected.metrics, strict=True):
        assert one["tokens"] == other["tokens"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
    for a, b in zip(weights(small), weights(unlimited), strict=True):
        assert torch.allclose(a, b, atol=1e-3)


@pytest.mark.filterwarnings("ignore:out of memory")
def test_a_row_that_does_not_fit_alone_is_an_error() -> None:
    small = adapted()
    with pytest.raises(CurateError, match="one row of .* tokens does not fit .* --gradient-checkpointing"):
        train(small, rows(), REQUEST, objective=Objective(limited(small, 3)))


def test_a_non_finite_loss_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    adaptation, calls = adapted(), iter(range(1000))

    def loss(batch: Any) -> torch.Tensor:
        value = response_loss(adaptation.model, batch)
        return value * float("nan") if next(calls) > 10 else value

    with pytest.raises(CurateError, match=r"the loss is nan at step \d+; .*checkpoint is .*step-000004"):
        train(adaptation, rows(), REQUEST, checkpoints=Checkpoints(tmp_path, "c"), objective=Objective(loss))
    assert not any(bool(one.isnan().any()) for one in weights(adaptation))


def test_a_diverging_loss_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    request = RecoveryRequest(method="full", learning_rate=20.0, batch=2, epochs=30, warmup=0.5, checkpoint_steps=5)
    with pytest.raises(CurateError, match=r"diverged: at step \d+ .* lower --learning-rate; the last good checkpoint"):
        train(adapted("full"), rows(), request, checkpoints=Checkpoints(tmp_path, "c"))
    assert divergence([1.0] * 19) is None
    assert divergence([1.0] * 20) == 0.0
    assert divergence([1.0] * 10 + [1.5] * 10) == 0.5
    assert divergence([0.25] * 10 + [1.0] * 10) == 1.5


def test_rows_without_a_supervised_token_are_skipped() -> None:
    template = Template(tiny_tokenizer(), "auto", 64)
    question, answered = [Turn("user", "a b")], [Turn("user", "a b"), Turn("assistant", "c")]
    encoded, skipped = encode_rows(template, [question, answered])
    assert (len(encoded), skipped) == (1, 1)
    with pytest.raises(InputError, match="none of 1 rows has a supervised token within 64 tokens"):
        encode_rows(template, [question])
    with pytest.raises(InputError, match="within 4 tokens; raise --max-length"):
        encode_rows(Template(tiny_tokenizer(), "auto", 4), [answered])


def test_tensors_without_a_gradient_are_named() -> None:
    model = tiny_model(llama())
    with torch.no_grad():
        model.get_submodule("model.layers.1.self_attn.o_proj").weight.zero_()
    progress = train(attach(model, "mask_lora", REQUEST), rows(), REQUEST)
    cut_off = {f"model.layers.1.self_attn.{n}_proj.b" for n in "qkvo"}
    assert set(progress.unreached) == cut_off
    model = tiny_model(llama())
    with torch.no_grad():
        model.lm_head.weight.zero_()
    with pytest.raises(CurateError, match="no trained tensor gets a gradient"):
        train(attach(model, "mask_lora", REQUEST), rows(), REQUEST)


@pytest.mark.parametrize("method", ["lora", "mask_lora", "perp", "full"])
def test_training_in_bfloat16(method: RecoveryMethod) -> None:
    model = tiny_model(llama())
    prune_magnitude(model, sparsity=0.5)
    if method != "full":
        model.to(torch.bfloat16)
    adaptation = attach(model, method, REQUEST)
    losses = [e["loss"] for e in train(adaptation, rows(), REQUEST, precision=torch.bfloat16).metrics]
    assert all(one.dtype == torch.float32 for one in adaptation.trainable.values())
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "loraa"}, "did you mean 'lora'"),
        ({"schedule": "step"}, "schedule 'step' is not known"),
        ({"parts": ("bias",)}, "did you mean 'biases'"),
        ({"parts": ()}, "nothing to train"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 is not a positive number"),
        ({"epochs": float("inf")}, "epochs inf"),
        ({"batch": 0}, "batch 0 is too small"),
        ({"warmup": 1.0}, r"warmup 1.0 is not in \[0, 1\)"),
    ],
)
def test_invalid_requests_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RecoveryRequest(**settings)


def test_a_request_survives_json() -> None:
    request = RecoveryRequest(method="perp", parts=("norms",), learning_rate=3e-4)
    assert RecoveryRequest.from_json(request.to_json()) == request
    taught = RecoveryRequest(teacher_weight=0.5, teacher_top=8)
    assert RecoveryRequest.from_json(taught.to_json()) == taught
    assert request.peak("perp", 64) == 3e-4
    default = RecoveryRequest()
    assert RecoveryRequest.from_json(default.to_json()) == default
