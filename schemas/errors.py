"""Exceptions of curate. Every message is one sentence for the user: what, where, the value, what to do next.

Each class has its exit code of the command line, so that a shell script can distinguish a usage error (2) from a bad
file (3), a full disk (1) and a failed gate (4).
"""


class CurateError(Exception):
    """Base class of all exceptions that curate raises deliberately; the environment or a run failed (exit 1)."""

    exit_code = 1


class UsageError(CurateError):
    """The command or a setting is invalid: a budget of 1.5, an unknown method (exit 2)."""

    exit_code = 2


class InputError(CurateError):
    """A corpus or a model cannot be used: missing file, wrong columns, tokenizers that differ (exit 3)."""

    exit_code = 3


class GateError(CurateError):
    """A gate stopped the run deliberately: drift too small, a merge that would destroy sparsity (exit 4)."""

    exit_code = 4


class WarehouseError(CurateError):
    """The warehouse cannot be read or written: read-only, full disk, lock not obtained in time (exit 1)."""


class MissingExtraError(CurateError):
    """A command needs an optional dependency that is not installed (exit 1).

    Parameters
    ----------
    what : str
        The requested feature, as the subject of the sentence: ``"drawing the corpus map"``.
    extra : str
        Name of the extra that provides it, one of ``[project.optional-dependencies]``.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs the extra "{extra}": pip install "curate-llm[{extra}]"')
        self.extra = extra


def error_of(exit_code: int, message: str) -> CurateError:
    """Return the exception for the exit code and message of another process."""
    kinds = (UsageError, InputError, GateError)
    return next((kind for kind in kinds if kind.exit_code == exit_code), CurateError)(message)


def did_you_mean(value: str, known: "list[str] | tuple[str, ...]") -> str:
    """Return ``", did you mean 'x'?"`` for the most similar known name, or the list of all if none is similar."""
    from difflib import get_close_matches

    near = get_close_matches(value, known, n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its class name if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
