"""How a diagnosis reads a model and its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from curate.engines.models.devices import resolve_device, resolve_dtype
from curate.engines.models.loading import load_model
from curate.engines.models.tokenizers import load_tokenizer
from curate.engines.tokens.templates import Template
from curate.schemas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from curate.engines.tokens.templates import TemplateKind
    from curate.schemas.corpus import Turn


@dataclass(frozen=True, slots=True)
class DiagnosisRequest:
    """What is measured, and how the models see the rows."""

    leave_one_out: bool = False
    """Of layers, also measure the loss without each: about L/2 forward passes for L layers."""
    max_length: int = 512
    template: TemplateKind = "auto"
    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False

    def load(self, folder: Path) -> PreTrainedModel:
        """Return the model of a folder, on the device and in the number format of the request."""
        device = resolve_device(self.device)
        dtype = resolve_dtype(self.dtype, device)
        return load_model(folder, device, dtype, trust_remote_code=self.trust_remote_code)

    def encode(self, folder: Path, conversations: Sequence[Sequence[Turn]]) -> list[torch.Tensor]:
        """Return the token ids of every conversation, each (1, T) int64; T is 0 if the template cannot render it.

        Raises
        ------
        InputError
            If none has two tokens.
        """
        tokenizer = load_tokenizer(folder, trust_remote_code=self.trust_remote_code)
        template = Template(tokenizer, self.template, self.max_length)
        rows = [torch.from_numpy(one.ids)[None] for one in template.encode_many(conversations)]
        if not any(row.shape[1] > 1 for row in rows):
            raise InputError(f"none of {len(conversations)} rows has two tokens; give other rows")
        return rows
