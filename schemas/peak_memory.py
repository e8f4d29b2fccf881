"""Peak memory of the current process, as reported in manifests and job reports."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory() -> int:
    """Return the largest resident set of this process so far, in bytes.

    From the kernel's ``VmHWM`` where available, otherwise from ``ru_maxrss``.
    """
    # On Linux ru_maxrss is inherited across fork and exec: a small run started by a large process would report the
    # peak of that process.
    if _STATUS.is_file():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    return peak if sys.platform == "darwin" else peak * 1024
