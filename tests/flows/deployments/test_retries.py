"""Only transient errors are retried."""

from __future__ import annotations

import errno
import os

import pytest
from documents import ROOT

from curate.flows.deployments.retries import is_transient
from curate.schemas.errors import GateError, InputError, UsageError, WarehouseError
from curate.storage.warehouse.atomic import disk_errors


def warehouse_error(code: int) -> WarehouseError:
    """Return the error that the warehouse raises for an operating system error."""
    with pytest.raises(WarehouseError) as caught, disk_errors("write", ROOT):
        raise OSError(code, os.strerror(code))
    return caught.value


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ConnectionResetError(), True), (TimeoutError(), True), (OSError(errno.ESTALE, "stale"), True),
        (warehouse_error(errno.EIO), True), (warehouse_error(errno.ENOSPC), False),
        (warehouse_error(errno.EACCES), False), (OSError("no number"), False), (UsageError("budget"), False),
        (InputError("file"), False), (GateError("drift"), False), (ValueError("bug"), False),
    ],
)  # fmt: skip
def test_only_transient_errors_are_retried(error: Exception, transient: bool) -> None:
    assert is_transient(error) == transient
