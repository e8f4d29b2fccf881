"""Turns off the progress bars and warnings of the model libraries in processes that write their own log."""

import os


def silence_libraries() -> None:
    """Turn off progress bars and warnings of the model libraries, unless the environment already sets them."""
    for name, value in (("HF_HUB_DISABLE_PROGRESS_BARS", "1"), ("TRANSFORMERS_VERBOSITY", "error")):
        os.environ.setdefault(name, value)
