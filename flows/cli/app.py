"""The Typer app that every command module adds its verbs to."""

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
