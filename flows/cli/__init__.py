"""The command line interface ``curate``: options, verbs and printing of results."""

from curate.flows.cli.main import main

__all__ = ["main"]
