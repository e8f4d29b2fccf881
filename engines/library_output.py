"""Turns off the progress bars and warnings of the model libraries, where this project reports progress itself."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


NOISY = ("bitsandbytes", "torchao", "torch.utils._pytree")
"""Loggers that warn while transformers imports packages of quantisation: of missing kernels for GPUs, and of calls that
will change."""


def silence_loggers() -> None:
    """Leave only the errors of the loggers in `NOISY`; imports no library."""
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


def silence_libraries() -> None:
    """Turn off progress bars and warnings of the model libraries, unless the environment already sets them."""
    silence_loggers()
    for name, value in (("HF_HUB_DISABLE_PROGRESS_BARS", "1"), ("TRANSFORMERS_VERBOSITY", "error")):
        os.environ.setdefault(name, value)


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Hide the progress bars of transformers, also the one of reading GGUF files, which its own switch leaves on."""
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    shown, bar = logging.is_progress_bar_enabled(), gguf.tqdm
    logging.disable_progress_bar()
    gguf.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        gguf.tqdm = bar
        if shown:
            logging.enable_progress_bar()
