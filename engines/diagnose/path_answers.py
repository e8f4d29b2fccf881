"""Answers of a model to multiple-choice items along paths of its decoder layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from curate.engines.diagnose.layer_paths import LayerPaths
from curate.engines.evaluate.option_layouts import option_rows
from curate.engines.evaluate.run import window_length
from curate.engines.models.projections import decoder_layers
from curate.engines.tokens.templates import Template
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from curate.engines.evaluate.run import EvaluateConfig
    from curate.engines.evaluate.subject import Subject
    from curate.engines.tokens.templates import Encoded

    Item = dict[str, Any]
    Path = tuple[int, ...]


class ItemPaths:
    """One item, whose options are read along any path; hidden states of the whole path are kept."""

    def __init__(self, subject: Subject, rows: list[Encoded], answer: int) -> None:
        self._paths = LayerPaths(subject.model, [torch.from_numpy(row.ids)[None] for row in rows])
        self._supervised = [torch.from_numpy(row.supervised[1:]) for row in rows]
        self._answer = answer

    def read(self, path: Path) -> tuple[float, bool]:
        """Return the share of the right option in the likelihood of all options, and whether it is the likeliest."""
        losses = self._paths.token_losses(set(range(self._paths.n_layers)) - set(path))
        nll = np.array([float(loss[kept].double().sum()) for loss, kept in zip(losses, self._supervised, strict=True)])
        log_share = -nll[self._answer] - np.logaddexp.reduce(-nll)
        return float(np.exp(log_share)), int(np.argmin(nll)) == self._answer


class PathReader:
    """A model whose layers can be left out while it answers items of kind ``choice`` (schema `ITEMS`).

    Parameters
    ----------
    subject : Subject
    config : EvaluateConfig
        How conversations are laid out; nothing else of it is read.
    """

    def __init__(self, subject: Subject, config: EvaluateConfig) -> None:
        self._subject = subject
        self._template = Template(subject.tokenizer, config.template, window_length(subject, config))
        self.n_layers = len(decoder_layers(subject.model)[1])
        """Number of decoder layers."""

    def open(self, item: Item) -> ItemPaths:
        """Return the item, ready to be read along paths.

        Raises
        ------
        InputError
            If an option has no token within the longest sequence.
        """
        [rows] = option_rows([item], "conversation", self._subject.tokenizer, self._template)
        if not all(row.n_response for row in rows):
            question = item["messages"][-1]["content"]
            raise InputError(
                f"the question {question[:40]!r} and an option are too long to be scored; raise --max-length"
            )
        return ItemPaths(self._subject, rows, item["answer"])
