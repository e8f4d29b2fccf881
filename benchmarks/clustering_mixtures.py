"""Quality of the clusters on mixtures of real sources, against k-means and SpectralClustering, given and finding K.

    python benchmarks/clustering_mixtures.py --corpora FOLDER                 # the mixtures used for tuning
    python benchmarks/clustering_mixtures.py --corpora FOLDER --held-out      # the two that were not

Prints mean and standard deviation over five draws of NMI and ARI against the sources. Peers that find K take the number
from 2 to 20 with the largest silhouette. The mixtures are in `benchmarks/mixtures.py`; planted topics come last.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mixtures import HELD_OUT, TUNING, draw, planted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Labels = NDArray[np.int32]
    Method = Callable[[Rows, int | None, int], Labels]

DRAWS = range(5)
TRIED = range(2, 21)


def ours(rows: Rows, k: int | None, seed: int) -> Labels:
    """Cluster with curate."""
    from curate.selectors.clustering.cluster import ClusteringSettings, cluster

    return cluster(rows, ClusteringSettings(n_clusters=k), seed).labels


def kmeans(rows: Rows, k: int, seed: int) -> Labels:
    """Cluster with scikit-learn's k-means."""
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(k, n_init=4, random_state=seed).fit_predict(rows))


def spectral(rows: Rows, k: int, seed: int) -> Labels:
    """Cluster with scikit-learn's SpectralClustering on 15 neighbours."""
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(k, affinity="nearest_neighbors", n_neighbors=15, random_state=seed)
    return np.asarray(model.fit_predict(rows))


def finding(method: Callable[[Rows, int, int], Labels]) -> Method:
    """Return the method with the number of the largest silhouette where none is given."""
    from sklearn.metrics import silhouette_score

    def labels(rows: Rows, k: int | None, seed: int) -> Labels:
        tried = [method(rows, number, seed) for number in ([k] if k else TRIED)]
        return tried[0] if k else max(tried, key=lambda one: float(silhouette_score(rows, one)))

    return labels


def measure(name: str, corpora: Path) -> list[dict[str, Any]]:
    """Return one entry per method and mode: NMI, ARI, numbers of clusters, processor seconds a draw."""
    drawn = [planted(seed) if name == "planted" else draw(corpora, name, seed) for seed in DRAWS]
    data = [(rows / np.linalg.norm(rows, axis=1, keepdims=True), labels) for rows, labels in drawn]
    methods: dict[str, Method] = {"curate": ours, "k-means": finding(kmeans), "SpectralClustering": finding(spectral)}
    return [
        {"mixture": name, "method": method, "k": "given" if given else "found", **_scores(data, run, given)}
        for given in (True, False)
        for method, run in methods.items()
    ]


def _scores(data: list[tuple[Rows, NDArray[np.int64]]], run: Method, given: bool) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    start, nmi, ari, numbers = time.process_time(), [], [], []
    for seed, (rows, sources) in enumerate(data):
        labels = run(rows, int(sources.max()) + 1 if given else None, seed)
        nmi.append(normalized_mutual_info_score(sources, labels))
        ari.append(adjusted_rand_score(sources, labels))
        numbers.append(len(np.unique(labels)))
    seconds = (time.process_time() - start) / len(data)
    means = {"nmi": float(np.mean(nmi)), "ari": float(np.mean(ari))}
    spread = {"nmi_std": float(np.std(nmi, ddof=1)), "ari_std": float(np.std(ari, ddof=1))}
    return means | spread | {"n_clusters": numbers, "cpu_seconds": seconds}


def main() -> None:
    """Measure, and print a line per mixture, mode and method, or JSON lines with --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, required=True, help="folder with the corpora")
    parser.add_argument("--held-out", action="store_true", help="the mixtures that were not used for tuning")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in HELD_OUT if options.held_out else [*TUNING, "planted"]:
        for row in measure(name, options.corpora):
            if options.json:
                print(json.dumps(row), flush=True)
                continue
            print(f"{name:13} K {row['k']} {row['method']:19}", end="")
            print(f"NMI {row['nmi']:.3f} ± {row['nmi_std']:.3f}  ARI {row['ari']:.3f} ± {row['ari_std']:.3f}  ", end="")
            print(f"{row['n_clusters']}  {row['cpu_seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
