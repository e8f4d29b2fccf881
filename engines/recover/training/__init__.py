"""The training loop of a recovery: batches, losses, distillation, checkpoints, processes."""
