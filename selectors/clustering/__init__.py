"""Vectors to capability clusters: affinity, diffusion map, spectral NMF, number of clusters, terms."""
