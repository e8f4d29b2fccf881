"""Which errors a scheduled run may try again: those of the moment, never those of the data or the settings."""

from __future__ import annotations

import errno

DELAYS = (30.0, 60.0, 120.0)
"""Seconds to wait before each retry."""

_OF_THE_MOMENT = {
    errno.EAGAIN, errno.EIO, errno.EINTR, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET,
    errno.ECONNREFUSED, errno.ECONNABORTED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EPIPE,
}  # fmt: skip
"""Errors of a network file system or a connection that often pass. A full disk does not, and is not among them."""


def is_transient(error: BaseException) -> bool:
    """Say whether an error, or what caused it, is of the kind that passes by itself."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, ConnectionError | TimeoutError):
            return True
        if isinstance(cause, OSError) and cause.errno in _OF_THE_MOMENT:
            return True
        cause = cause.__cause__ or cause.__context__
    return False
