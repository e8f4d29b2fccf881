"""Growth of clustering time with the number of rows, compared with SpectralClustering and a dense implementation.

    python benchmarks/clustering_peers.py --rows 5000 10000 50000 --spectral 5000 10000 --dense 1000 2000 4000

Every size runs in its own process, on the same structured rows and with the same number of clusters, and is stopped
after --limit seconds. The dense recipe is what PASER's public code does: n × n matrices, all eigenvectors, and a
factorisation of the full matrix.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from clustering import synthetic

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLUSTERS = 12
DENSE_STEPS = 20


def ours(rows: NDArray[np.float32]) -> NDArray[np.int32]:
    """Cluster with curate, K fixed as for the others."""
    from curate.selectors.clustering.cluster import ClusteringSettings, cluster

    return cluster(rows, ClusteringSettings(n_clusters=CLUSTERS), seed=0).labels


def spectral(rows: NDArray[np.float32]) -> NDArray[np.int32]:
    """Cluster with scikit-learn on the same number of neighbours."""
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(CLUSTERS, affinity="nearest_neighbors", n_neighbors=15, random_state=0)
    return np.asarray(model.fit_predict(rows))


def dense(rows: NDArray[np.float32]) -> NDArray[np.int32]:
    """Cluster with dense n × n matrices."""
    from sklearn.cluster import KMeans

    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float64)
    distance = 1 - unit @ unit.T
    affinity = np.exp(-((distance / np.median(distance)) ** 2))
    root = np.diag(affinity.sum(axis=1) ** -0.5)
    operator = root @ affinity @ root
    vectors = np.linalg.eigh(operator)[1][:, ::-1][:, :CLUSTERS]
    labels = KMeans(CLUSTERS, n_init=4, random_state=0).fit_predict(vectors)
    factor = 0.2 + np.eye(CLUSTERS)[labels]
    for _ in range(DENSE_STEPS):
        factor *= 0.5 + 0.5 * (operator @ factor) / ((factor @ factor.T) @ factor)
    return factor.argmax(axis=1).astype(np.int32)


METHODS = {"curate": ours, "SpectralClustering": spectral, "dense recipe": dense}


def measure(method: str, n: int, limit: float) -> dict[str, Any]:
    """Return seconds and peak memory of one size, measured in its own process, or why it was stopped."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(method, n, sending))
    child.start()
    sending.close()
    result: dict[str, Any] = {"method": method, "rows": n}
    if receiving.poll(limit):
        try:
            return result | receiving.recv()
        except EOFError:
            return result | {"stopped": "the process died, most likely out of memory"}
    child.kill()
    child.join()
    return result | {"stopped": f"after {limit:.0f} s"}


def _work(method: str, n: int, sending: Any) -> None:
    rows = synthetic(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wall, cpu = time.perf_counter(), time.process_time()
        METHODS[method](rows)
        seconds = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    sending.send(seconds | {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6})


def exponent(runs: list[dict[str, Any]]) -> float | None:
    """Return b of seconds ∝ rows^b, by least squares on the logarithms of processor time; None with fewer than two."""
    points = [(np.log(run["rows"]), np.log(run["cpu_seconds"])) for run in runs if "cpu_seconds" in run]
    return float(np.polyfit(*zip(*points, strict=True), 1)[0]) if len(points) > 1 else None


def main() -> None:
    """Measure, then print lines or, with --json, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 2_000, 4_000], help="sizes for curate")
    parser.add_argument("--spectral", type=int, nargs="*", default=[1_000, 2_000], help="sizes for scikit-learn")
    parser.add_argument("--dense", type=int, nargs="*", default=[1_000, 2_000], help="sizes for the dense recipe")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a size is stopped (default 600)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sizes = {"curate": options.rows, "SpectralClustering": options.spectral, "dense recipe": options.dense}
    runs = [measure(method, n, options.limit) for method, numbers in sizes.items() for n in numbers]
    ours_by_size = {run["rows"]: run for run in runs if run["method"] == "curate" and "seconds" in run}
    for run in runs:
        if run["method"] != "curate" and "seconds" in run and run["rows"] in ours_by_size:
            # Processor seconds, because another program may slow down the wall time of one of the two runs only.
            run["curate_times_faster"] = run["cpu_seconds"] / ours_by_size[run["rows"]]["cpu_seconds"]
    report = {"runs": runs, "exponent": exponent([run for run in runs if run["method"] == "curate"])}
    if options.json:
        print(json.dumps(report, indent=1))
        return
    for run in runs:
        cost = run.get("stopped") or f"{run['cpu_seconds']:.1f} s of processor time, {run['peak_gb']:.2f} GB"
        ratio = f", curate {run['curate_times_faster']:.1f} times faster" if "curate_times_faster" in run else ""
        print(f"{run['method']:20} {run['rows']:9,} rows: {cost}{ratio}")
    if report["exponent"] is not None:
        print(f"time of curate ∝ rows^{report['exponent']:.2f}")


if __name__ == "__main__":
    main()
