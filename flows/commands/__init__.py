"""The verbs of the command line, a few to a file; each file fills the one Typer app.

Only argument handling and printing: whatever a verb does is in `curate.flows` and below, imported when it is called.
"""

import typer

app = typer.Typer(
    name="curate",
    help="Choose the training data that brings a compressed or specialised language model back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 environment or failure, 2 usage, 3 unusable input, 4 refused, 130 interrupted. "
    "Every verb takes --debug for a traceback.",
)

from curate.flows.commands import asking, judging, models, publishing, recovery, setup, stages  # noqa: E402

__all__ = ["app", "asking", "judging", "models", "publishing", "recovery", "setup", "stages"]
