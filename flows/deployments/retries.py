"""Retry policy of scheduled runs: transient errors are retried, errors of the data or the settings never."""

from __future__ import annotations

import errno

DELAYS = (30.0, 60.0, 120.0)
"""Seconds to wait before each retry."""

_TRANSIENT = {
    errno.EAGAIN, errno.EIO, errno.EINTR, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET,
    errno.ECONNREFUSED, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EPIPE,
}  # fmt: skip
"""Errors of a network file system or a connection that often disappear by themselves. A full disk does not."""


def is_transient(error: BaseException) -> bool:
    """Return whether an error, or an error that caused it, is likely to disappear by itself."""
    # Causes and contexts can form a cycle when an error is raised again from its own context.
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, ConnectionError | TimeoutError):
            return True
        if isinstance(cause, OSError) and cause.errno in _TRANSIENT:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
