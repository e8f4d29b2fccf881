"""The Typer app to which every command module adds its verbs."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

VERBS = (
    "init ingest embed cluster score select run plan compress diagnose sample recover evaluate compare explain report "
    "export sql status doctor import-scores forget gc catalog deploy"
).split()
"""All verbs in the order of ``curate --help``: along the pipeline, then results, then the warehouse."""


class OrderedGroup(TyperGroup):
    """Lists the verbs in the order of `VERBS` instead of the order in which their modules are imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the verbs; one that is missing in `VERBS` comes last."""
        return sorted(super().list_commands(ctx), key=lambda verb: VERBS.index(verb) if verb in VERBS else len(VERBS))


app = typer.Typer(
    name="curate",
    cls=OrderedGroup,
    help="Choose the training data that restores a compressed or specialised language model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 environment or failure, 2 usage, 3 unusable input, 4 refused, 130 interrupted. "
    "Every verb takes --debug for a traceback.",
)
