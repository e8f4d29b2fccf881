"""Passes of one model over items under sequences of wordings; each pass is made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from curate.schemas.settings import Settings

    Item = dict[str, Any]
    Reading = tuple[NDArray[np.float64], NDArray[np.float64]]
    """Rewards and scores of items."""


class Readings:
    """A model's rewards and scores by sequence of wordings.

    Parameters
    ----------
    settings : Settings
    model : str
        Folder or hub name.
    wordings : sequence of str
    advance : callable
        Called with 1 after each pass.
    """

    def __init__(self, settings: Settings, model: str, wordings: Sequence[str], advance: Callable[[int], None]) -> None:
        from curate.engines.diagnose.wordings import WordingReader
        from curate.engines.evaluate import EvaluateConfig, load_subject

        score = settings.score
        config = EvaluateConfig(
            score.template,
            score.max_length,
            normalise=settings.evaluate.normalise,
            batch_tokens=score.batch_tokens,
        )
        subject = load_subject(
            model,
            device=score.device.partition(",")[0],
            dtype=score.dtype,
            trust_remote_code=settings.trust_remote_code,
        )
        self._reader = WordingReader(subject, config)
        self._wordings, self._advance = wordings, advance
        self._read_before: dict[tuple[int, tuple[int, ...]], tuple[list[Item], Reading]] = {}
        """By identity of the items; they are kept, so that no other list has it meanwhile."""

    def reward(self, items: list[Item], chosen: tuple[int, ...]) -> float:
        """Return the mean log share of the right option, in nats, under the wordings `chosen`, one on each line."""
        return float(self._read(items, chosen)[0].mean())

    def scores(self, items: list[Item], chosen: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the score of every item under the wordings `chosen`."""
        return self._read(items, chosen)[1]

    def _read(self, items: list[Item], chosen: tuple[int, ...]) -> Reading:
        key = (id(items), chosen)
        if key not in self._read_before:
            text = "\n".join(self._wordings[one] for one in chosen)
            self._read_before[key] = (items, self._reader.read(items, text))
            self._advance(1)
        return self._read_before[key][1]
