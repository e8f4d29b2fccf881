"""Clusters embeddings into capabilities: affinity, diffusion map, spectral NMF, number of clusters, terms."""
