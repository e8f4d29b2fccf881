"""Recovery methods: detection of the compression, choice of a method, LoRA, masked LoRA, PERP, reconstruction."""
