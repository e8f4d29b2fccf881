"""The training loop of a recovery: rows, loss, distillation, checkpoints, processes."""
