"""The one error tree. Every message is one sentence for a person: what, where, the value, what to do next.

The exit code of the command line belongs to the class, so that a shell script can tell a typing mistake (2) from a
bad file (3), a full disk (1) and a gate that said no (4).
"""


class CurateError(Exception):
    """Base of everything that curate raises on purpose; the environment or a run failed (exit 1)."""

    exit_code = 1


class UsageError(CurateError):
    """The command or a setting cannot mean anything: a budget of 1.5, an unknown method (exit 2)."""

    exit_code = 2


class InputError(CurateError):
    """A corpus or a model cannot be used: missing file, wrong columns, tokenizers that differ (exit 3)."""

    exit_code = 3


class GateError(CurateError):
    """A gate refused on purpose: drift too small, a merge that would destroy sparsity (exit 4)."""

    exit_code = 4


class WarehouseError(CurateError):
    """The warehouse cannot be read or written: read-only, full disk, lock not obtained in time (exit 1)."""


class MissingExtraError(CurateError):
    """A verb needs an optional dependency that is not installed (exit 1).

    Parameters
    ----------
    what : str
        What was asked for, as the subject of the sentence: ``"drawing the corpus map"``.
    extra : str
        Name of the extra that provides it, one of ``[project.optional-dependencies]``.
    """

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f'{what} needs the extra "{extra}": pip install "curate-llm[{extra}]"')
        self.extra = extra


def error_of(exit_code: int, message: str) -> CurateError:
    """Return the error of another process, by the exit code and the sentence that it left."""
    kinds = (UsageError, InputError, GateError)
    return next((kind for kind in kinds if kind.exit_code == exit_code), CurateError)(message)


def did_you_mean(value: str, known: "list[str] | tuple[str, ...]") -> str:
    """Return ``", did you mean 'x'?"`` for the nearest known name, or the list of known names when none is near."""
    from difflib import get_close_matches

    near = get_close_matches(value, known, n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its class when it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
