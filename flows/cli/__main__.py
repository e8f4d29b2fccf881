"""``python -m curate.flows.cli``: the command ``curate``."""

from curate.flows.cli.main import main

main()
