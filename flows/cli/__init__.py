"""The command ``curate``: options, verbs and what they print."""

from curate.flows.cli.main import main

__all__ = ["main"]
