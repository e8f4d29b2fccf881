"""The Prefect flows behind prefect.yaml, and what decides when they run."""
