"""The Prefect flows behind prefect.yaml, and the rules that decide when they run."""
