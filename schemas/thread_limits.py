"""Environment variables that limit the threads of numerical libraries. Imports nothing."""

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def as_environment(threads: int) -> dict[str, str]:
    """Return the variables with their values; each library reads its own when it is loaded."""
    return dict.fromkeys(VARIABLES, str(threads))
