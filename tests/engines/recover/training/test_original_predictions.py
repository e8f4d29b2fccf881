"""The original's predictions: equal to those of a model in memory, computed once, and reused from the cache."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import torch
from references.compress import WORDS, save_tiny, tiny_model
from references.recover import mixed_loss
from transformers import LlamaConfig

from curate.engines.compress import CompressionRequest, compress
from curate.engines.models.loading import load_language_model, load_model
from curate.engines.recover import Observer, RecoveryContext, recover
from curate.engines.recover.estimate import estimate
from curate.engines.recover.observer import Interrupted
from curate.engines.recover.prepare import prepare_recovery
from curate.engines.recover.training import original_predictions as subject
from curate.engines.recover.training.distillation import DistillationLoss
from curate.engines.recover.training.original_predictions import PredictionCache, predict_rows
from curate.engines.recover.training.rows import make_batch
from curate.engines.score.config import ScoreConfig
from curate.engines.score.sequential import OriginalSpec, cache_original
from curate.schemas.corpus import MESSAGES, Turn
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.engines.recover.training.original_predictions import OriginalPredictions

CPU = torch.device("cpu")
FAST: dict[str, Any] = {"rank": 2, "batch": 8, "epochs": 2, "learning_rate": 1e-2}
REQUEST = RecoveryRequest(**FAST, teacher_weight=0.5)
TURNS = [
    [Turn("user", " ".join((WORDS * 2)[i : i + 2 + i % 4])), Turn("assistant", " ".join(WORDS[i : i + 1 + i % 3]))]
    for i in range(16)
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the folders of an original and of its pruned copy with half of the weights zero."""
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    config = LlamaConfig(**sizes, **heads, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    folder = tmp_path_factory.mktemp("pair")
    dense = save_tiny(tiny_model(config), folder / "dense")
    compress(dense, folder / "half", CompressionRequest("magnitude", sparsity=0.5))
    return str(dense), str(folder / "half")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[torch.nn.Module]]:
    """Return weak references to the originals that are loaded during the test."""
    models: list[weakref.ref[torch.nn.Module]] = []

    def load(*given: Any, **named: Any) -> Any:
        model = load_language_model(*given, **named)
        models.append(weakref.ref(model.model))
        return model

    monkeypatch.setattr(subject, "load_language_model", load)
    return models


def predict(
    pair: tuple[str, str], cache: PredictionCache, turns: Any = TURNS, **changes: Any
) -> tuple[OriginalPredictions, Any]:
    request = replace(REQUEST, **changes)
    setup = prepare_recovery(pair[1], turns, request, original=pair[0])
    return predict_rows(setup, pair[0], request, cache, setup.rows), setup.rows


@pytest.mark.parametrize("top", [None, 4])
def test_cached_predictions_give_the_loss_of_both_models_in_memory(
    pair: tuple[str, str], tmp_path: Path, top: int | None
) -> None:
    predictions, rows = predict(pair, PredictionCache(tmp_path, "o"), teacher_top=top)
    original, model = (load_model(Path(one), CPU, torch.float32) for one in pair)
    loss = DistillationLoss(predictions.lookup, 0.7)(model, make_batch(rows[3:9], CPU)).item()
    assert loss == pytest.approx(mixed_loss(model, original, rows[3:9], 0.7, top), rel=1e-5)
    width = 16 * 4 if top is None else 4 * 8 + 8
    assert predictions.bytes_per_token() == width


def score_sequentially(
    pair: tuple[str, str], cache: Path, original: str, top: int | None = None, length: int = 512
) -> None:
    """Cache the original's predictions of all rows as ``--sequential`` does, in parts of five."""
    messages = [[{"role": t.role, "content": t.content, "tool_call": False} for t in row] for row in TURNS]
    column = pa.array([*messages, messages[0][:1]], MESSAGES)
    batches = pa.table({"messages": column}).to_batches(max_chunksize=5)
    config = ScoreConfig(teacher_top=top, max_length=length)
    spec = OriginalSpec(*pair, {"original": original})
    cache_original(lambda: enumerate(batches), spec, config, cache, ["cpu"], 1, lambda _: None)


@pytest.mark.parametrize("top", [None, 4])
def test_predictions_of_scoring_are_reused(
    pair: tuple[str, str], tmp_path: Path, top: int | None, loaded: list[Any]
) -> None:
    score_sequentially(pair, tmp_path / "cache", "o", top)
    cached, rows = predict(pair, PredictionCache(tmp_path / "cache", "o"), TURNS[4:11], teacher_top=top)
    assert loaded == []
    computed, _ = predict(pair, PredictionCache(tmp_path / "empty", "o"), TURNS[4:11], teacher_top=top)
    assert len(loaded) == 1
    for row in rows:
        one, other = (vars(predictions.lookup([row])) for predictions in (cached, computed))
        for name in one.keys() - {"head"}:
            assert torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("original", "changes"),
    [
        ("other", {}),
        ("o", {"teacher_top": 3}),
        ("o", {"dtype": "bfloat16"}),
        ("o", {"max_length": 8}),
        ("o", {"template": "plain"}),
    ],
)
def test_another_original_dtype_or_tokens_are_computed_again(
    pair: tuple[str, str], tmp_path: Path, loaded: list[Any], original: str, changes: dict[str, Any]
) -> None:
    score_sequentially(pair, tmp_path, "o")
    predict(pair, PredictionCache(tmp_path, original), **changes)
    assert len(loaded) == 1


def test_only_missing_rows_are_computed(pair: tuple[str, str], tmp_path: Path, loaded: list[Any]) -> None:
    cache = PredictionCache(tmp_path, "o")
    predict(pair, cache, TURNS[:6])
    progress: list[tuple[int, int]] = []
    observer = Observer(on_rows_read=lambda *counts: progress.append(counts))
    setup = prepare_recovery(pair[1], TURNS[2:9], REQUEST, original=pair[0])
    predictions = predict_rows(setup, pair[0], REQUEST, cache, setup.rows, observer=observer)
    assert progress == [(3, 3)]
    assert len({location.path.parent for location in predictions.locations.values()}) == 2
    assert len(loaded) == 2
    predict(pair, cache, TURNS[:9])
    assert len(loaded) == 2


def test_the_original_is_freed_before_training(pair: tuple[str, str], tmp_path: Path, loaded: list[Any]) -> None:
    alive: list[bool] = []

    def check(*_: object) -> None:
        gc.collect()
        alive.append(loaded[0]() is not None)

    context = RecoveryContext(cache=PredictionCache(tmp_path / "cache", "o"))
    report = recover(
        pair[1], TURNS, tmp_path / "out", REQUEST, original=pair[0], context=context, observer=Observer(on_step=check)
    )
    assert alive == [False] * report["steps"]
    again = recover(pair[1], TURNS, tmp_path / "again", REQUEST, original=pair[0], context=context)
    assert len(loaded) == 1
    assert [one["loss"] for one in again["metrics"]] == [one["loss"] for one in report["metrics"]]
    ordinary = recover(pair[1], TURNS, tmp_path / "plain", replace(REQUEST, teacher_weight=0.0))
    assert ordinary["loss_first"] != report["loss_first"]


def stop_after(calls: int) -> Callable[[], bool]:
    """Return a function that returns True once, after `calls` calls."""
    answers = iter([*[False] * calls, True])
    return lambda: next(answers, False)


@pytest.mark.slow
@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_recovery_stopped_at_any_point_resumes_to_the_same_bits(
    pair: tuple[str, str], tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "PART_ROWS", 6)
    whole = recover(pair[1], TURNS, tmp_path / "whole", REQUEST, original=pair[0])
    arguments: dict[str, Any] = {"original": pair[0], "context": RecoveryContext(work=tmp_path / "work")}
    stopping = Observer(should_stop=stop_after(calls))
    expected = "of 16 of the original" if calls < 2 else "stopped at step"
    with pytest.raises(Interrupted, match=expected):
        recover(pair[1], TURNS, tmp_path / "out", REQUEST, observer=stopping, **arguments)
    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("part-*")}
    assert len(stored) == min(calls + 1, 3)
    later: dict[Path, int] = {}

    def record(*_: object) -> None:
        later.update({path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("part-*")})

    report = recover(pair[1], TURNS, tmp_path / "out", REQUEST, observer=Observer(on_step=record), **arguments)
    assert len(later) == 3
    assert all(later[path] == stamp for path, stamp in stored.items())
    assert [one["loss"] for one in report["metrics"]] == [one["loss"] for one in whole["metrics"]]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "whole")]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "work").iterdir())


def test_an_estimate_counts_the_missing_predictions(pair: tuple[str, str], tmp_path: Path, loaded: list[Any]) -> None:
    cache = PredictionCache(tmp_path, "o")
    teacher = estimate(pair[1], TURNS, REQUEST, original=pair[0], cache=cache)["teacher"]
    assert (teacher["rows"], teacher["rows_to_read"]) == (0, 16)
    assert teacher["bytes"] == 16 * 4 * sum(1 + len(row[1].content.split()) for row in TURNS)
    assert len(loaded) == 1
    assert not list(tmp_path.iterdir())
    predict(pair, cache)
    teacher = estimate(pair[1], TURNS, REQUEST, original=pair[0], cache=cache)["teacher"]
    assert teacher == {"rows": 16, "rows_to_read": 0, "tokens_to_read": 0, "bytes": 0}
    assert len(loaded) == 2
    assert "teacher" not in estimate(pair[1], TURNS, replace(REQUEST, teacher_weight=0.0), original=pair[0])
