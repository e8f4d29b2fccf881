"""Keeps libraries silent between our lines, in processes that were not started by the command line."""

import os


def hush() -> None:
    """Turn off progress bars and warnings of the model libraries, unless the environment says otherwise."""
    for name, value in (("HF_HUB_DISABLE_PROGRESS_BARS", "1"), ("TRANSFORMERS_VERBOSITY", "error")):
        os.environ.setdefault(name, value)
