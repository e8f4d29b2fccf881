"""The verbs ``curate deploy init`` and ``curate deploy wait``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from curate.flows.cli.app import app

deploy = typer.Typer(name="deploy", help="Prepare scheduled runs (docs/deploy.md).", no_args_is_help=True)
app.add_typer(deploy)


@deploy.command(name="init")
def write(folder: Annotated[Path, typer.Argument(help="Working folder of the runs.")] = Path()) -> None:
    """Write prefect.yaml, curate.env, systemd units and a Dockerfile."""
    from curate.flows.deployments.starting import write_files

    for path in write_files(folder):
        print(path)


@deploy.command()
def wait(seconds: Annotated[float, typer.Option("--timeout", help="Longest wait in seconds.")] = 120.0) -> None:
    """Wait until the Prefect server at PREFECT_API_URL answers, and print its address."""
    from curate.flows.deployments.starting import wait_for_server

    print(wait_for_server(seconds))
