"""What is trained, and how it becomes one model again: LoRA, masked LoRA, PERP, reconstruction."""
