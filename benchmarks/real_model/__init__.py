"""The trial on a real model: rows, pairs, arms, cells, measures, report; run by `real_trial.py`."""
