"""The folder in which DuckDB keeps what does not fit into memory; a file that a signal handler can import."""

from __future__ import annotations

import os
import tempfile


def spill_folder() -> str:
    """Return the folder for this process; DuckDB makes it when it is needed and removes it with the session."""
    return f"{tempfile.gettempdir()}/curate-duckdb-{os.getpid()}"
