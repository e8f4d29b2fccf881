"""Searches for paths on one part of the items, and the accuracy of given paths on another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.selectors.search.paths import search_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from curate.engines.diagnose.path_answers import PathReader
    from curate.schemas.settings import Settings
    from curate.selectors.search.path_votes import Search
    from curate.selectors.search.paths import Path

    Item = dict[str, Any]
    Advance = Callable[[int], None]


def path_reader(settings: Settings, model: str) -> PathReader:
    """Return the model of a folder or hub name, loaded.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    from curate.engines.diagnose.path_answers import PathReader
    from curate.engines.evaluate import EvaluateConfig, load_subject

    score = settings.score
    device = score.device.partition(",")[0]
    subject = load_subject(model, device=device, dtype=score.dtype, trust_remote_code=settings.trust_remote_code)
    return PathReader(subject, EvaluateConfig(score.template, score.max_length))


def searches_of(reader: PathReader, items: list[Item], settings: Settings, advance: Advance) -> list[Search]:
    """Return the search of every item; all try actions in the same order."""
    searches: list[Search] = []
    for item in items:
        rate = reader.open(item).read
        searches.append(search_paths(reader.n_layers, rate, settings.diagnose.simulations, settings.seed))
        advance(1)
    return searches


def accuracies(reader: PathReader, items: list[Item], paths: Iterable[Path], advance: Advance) -> dict[Path, float]:
    """Return the share of the items that each path answers rightly."""
    right = dict.fromkeys(paths, 0)
    for item in items:
        answers = reader.open(item)
        for path in right:
            right[path] += answers.read(path)[1]
        advance(1)
    return {path: number / len(items) for path, number in right.items()}
