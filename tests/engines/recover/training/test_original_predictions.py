"""What the original says of rows is what it would say while training, is read once, and is found again."""

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
from curate.engines.recover import recover
from curate.engines.recover.estimate import estimate
from curate.engines.recover.prepare import lay_out
from curate.engines.recover.training import original_predictions as subject
from curate.engines.recover.training.distillation import Teacher
from curate.engines.recover.training.loop import Interrupted
from curate.engines.recover.training.original_predictions import Library, read_lessons
from curate.engines.recover.training.rows import make_batch
from curate.engines.score.config import ScoreConfig
from curate.engines.score.sequential import OriginalSpec, cache_original
from curate.schemas.corpus import MESSAGES, Turn
from curate.schemas.recovery import RecoveryRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from curate.engines.recover.training.original_predictions import Lessons

CPU = torch.device("cpu")
FAST: dict[str, Any] = {"rank": 2, "batch": 8, "epochs": 2, "learning_rate": 1e-2}
REQUEST = RecoveryRequest(**FAST, teacher_weight=0.5)
TURNS = [
    [Turn("user", " ".join((WORDS * 2)[i : i + 2 + i % 4])), Turn("assistant", " ".join(WORDS[i : i + 1 + i % 3]))]
    for i in range(16)
]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the folders of an original and of the same, half pruned."""
    sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}
    config = LlamaConfig(**sizes, **heads, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    folder = tmp_path_factory.mktemp("pair")
    dense = save_tiny(tiny_model(config), folder / "dense")
    compress(dense, folder / "half", CompressionRequest("magnitude", sparsity=0.5))
    return str(dense), str(folder / "half")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[torch.nn.Module]]:
    """Return the originals that were loaded since."""
    found: list[weakref.ref[torch.nn.Module]] = []

    def load(*given: Any, **named: Any) -> Any:
        model = load_language_model(*given, **named)
        found.append(weakref.ref(model.model))
        return model

    monkeypatch.setattr(subject, "load_language_model", load)
    return found


def learn(pair: tuple[str, str], library: Library, turns: Any = TURNS, **changes: Any) -> tuple[Lessons, Any]:
    request = replace(REQUEST, **changes)
    layout = lay_out(pair[1], turns, request, original=pair[0])
    return read_lessons(layout, pair[0], request, library, layout.rows), layout.rows


@pytest.mark.parametrize("top", [None, 4])
def test_kept_lessons_give_the_loss_of_both_models_side_by_side(
    pair: tuple[str, str], tmp_path: Path, top: int | None
) -> None:
    found, rows = learn(pair, Library(tmp_path, "o"), teacher_top=top)
    original, model = (load_model(Path(one), CPU, torch.float32) for one in pair)
    loss = Teacher(found.of, 0.7).loss(model, make_batch(rows[3:9], CPU)).item()
    assert loss == pytest.approx(mixed_loss(model, original, rows[3:9], 0.7, top), rel=1e-5)
    width = 16 * 4 if top is None else 4 * 8 + 8
    assert found.bytes_per_token() == width


def scoring(pair: tuple[str, str], cache: Path, original: str, top: int | None = None, length: int = 512) -> None:
    """Read all rows as ``--sequential`` does, in parts of five."""
    said = [[{"role": t.role, "content": t.content, "tool_call": False} for t in row] for row in TURNS]
    column = pa.array([*said, said[0][:1]], MESSAGES)
    batches = pa.table({"messages": column}).to_batches(max_chunksize=5)
    config = ScoreConfig(teacher_top=top, max_length=length)
    asked = OriginalSpec(*pair, {"original": original})
    cache_original(lambda: enumerate(batches), asked, config, cache, ["cpu"], 1, lambda _: None)


@pytest.mark.parametrize("top", [None, 4])
def test_what_scoring_kept_is_found(pair: tuple[str, str], tmp_path: Path, top: int | None, loaded: list[Any]) -> None:
    scoring(pair, tmp_path / "cache", "o", top)
    found, rows = learn(pair, Library(tmp_path / "cache", "o"), TURNS[4:11], teacher_top=top)
    assert loaded == []
    anew, _ = learn(pair, Library(tmp_path / "anew", "o"), TURNS[4:11], teacher_top=top)
    assert len(loaded) == 1
    for row in rows:
        one, other = (vars(lessons.of([row])) for lessons in (found, anew))
        for name in one.keys() - {"head"}:
            assert torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("library", "changes"),
    [
        ("other", {}),
        ("o", {"teacher_top": 3}),
        ("o", {"dtype": "bfloat16"}),
        ("o", {"max_length": 8}),
        ("o", {"template": "plain"}),
    ],
)
def test_only_the_same_original_numbers_and_tokens_are_the_same_lesson(
    pair: tuple[str, str], tmp_path: Path, loaded: list[Any], library: str, changes: dict[str, Any]
) -> None:
    scoring(pair, tmp_path, "o")
    learn(pair, Library(tmp_path, library), **changes)
    assert len(loaded) == 1


def test_only_rows_that_nobody_read_are_read(pair: tuple[str, str], tmp_path: Path, loaded: list[Any]) -> None:
    library = Library(tmp_path, "o")
    learn(pair, library, TURNS[:6])
    told: list[tuple[int, int]] = []
    layout = lay_out(pair[1], TURNS[2:9], REQUEST, original=pair[0])
    found = read_lessons(layout, pair[0], REQUEST, library, layout.rows, told=lambda *one: told.append(one))
    assert told == [(3, 3)]
    assert len({place.path.parent for place in found.places.values()}) == 2
    assert len(loaded) == 2
    learn(pair, library, TURNS[:9])
    assert len(loaded) == 2


def test_the_original_is_gone_while_the_model_trains(pair: tuple[str, str], tmp_path: Path, loaded: list[Any]) -> None:
    alive: list[bool] = []

    def look(*_: object) -> None:
        gc.collect()
        alive.append(loaded[0]() is not None)

    library = Library(tmp_path / "library", "o")
    report = recover(pair[1], TURNS, tmp_path / "out", REQUEST, original=pair[0], library=library, tell=look)
    assert alive == [False] * report["steps"]
    again = recover(pair[1], TURNS, tmp_path / "again", REQUEST, original=pair[0], library=library)
    assert len(loaded) == 1
    assert [one["loss"] for one in again["metrics"]] == [one["loss"] for one in report["metrics"]]
    ordinary = recover(pair[1], TURNS, tmp_path / "plain", replace(REQUEST, teacher_weight=0.0))
    assert ordinary["loss_first"] != report["loss_first"]


def stop_after(calls: int) -> Callable[[], bool]:
    """Return what says True once, the time after `calls` times."""
    left = iter([*[False] * calls, True])
    return lambda: next(left, False)


@pytest.mark.slow
@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_recovery_stopped_while_the_original_reads_or_later_goes_on_to_the_same_bits(
    pair: tuple[str, str], tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "PART_ROWS", 6)
    whole = recover(pair[1], TURNS, tmp_path / "whole", REQUEST, original=pair[0])
    arguments: dict[str, Any] = {"original": pair[0], "work": tmp_path / "work"}
    expected = "of 16 of the original" if calls < 2 else "stopped at step"
    with pytest.raises(Interrupted, match=expected):
        recover(pair[1], TURNS, tmp_path / "out", REQUEST, stop=stop_after(calls), **arguments)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("part-*")}
    assert len(kept) == min(calls + 1, 3)
    again: dict[Path, int] = {}
    report = recover(
        pair[1], TURNS, tmp_path / "out", REQUEST,
        tell=lambda *_: again.update({path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("part-*")}),
        **arguments,
    )  # fmt: skip
    assert len(again) == 3
    assert all(again[path] == stamp for path, stamp in kept.items())
    assert [one["loss"] for one in report["metrics"]] == [one["loss"] for one in whole["metrics"]]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("out", "whole")]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "work").iterdir())


def test_a_dry_run_tells_what_the_original_has_read_and_will(
    pair: tuple[str, str], tmp_path: Path, loaded: list[Any]
) -> None:
    library = Library(tmp_path, "o")
    told = estimate(pair[1], TURNS, REQUEST, original=pair[0], library=library)["teacher"]
    assert (told["rows"], told["rows_to_read"]) == (0, 16)
    assert told["bytes"] == 16 * 4 * sum(1 + len(row[1].content.split()) for row in TURNS)
    assert len(loaded) == 1
    assert not list(tmp_path.iterdir())
    learn(pair, library)
    told = estimate(pair[1], TURNS, REQUEST, original=pair[0], library=library)["teacher"]
    assert told == {"rows": 16, "rows_to_read": 0, "tokens_to_read": 0, "bytes": 0}
    assert len(loaded) == 2
    assert "teacher" not in estimate(pair[1], TURNS, replace(REQUEST, teacher_weight=0.0), original=pair[0])
