"""Renders selections as an HTML report and PNG pictures from artefacts."""
