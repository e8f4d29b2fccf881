"""Reference evaluation: one row at a time, float64, no batches, no caches."""

from __future__ import annotations

import math
import re
import string

import torch


def forced(model, row):
    """Return (sum of −log p, number, number predicted right) over the supervised tokens of one row."""
    with torch.no_grad():
        logits = model(torch.from_numpy(row.ids)[None]).logits[0].double()
    total, count, right = 0.0, 0, 0
    for t in range(1, len(row.ids)):
        if row.supervised[t]:
            token = int(row.ids[t])
            total -= float(logits[t - 1].log_softmax(-1)[token])
            right += int(logits[t - 1].argmax()) == token
            count += 1
    return total, count, right


def divergence(model, original, row):
    """Return (sum of KL(original ‖ model), number) over the supervised tokens of one row, term by term."""
    ids = torch.from_numpy(row.ids)[None]
    with torch.no_grad():
        own, other = (one(ids).logits[0].double().log_softmax(-1) for one in (model, original))
    total, count = 0.0, 0
    for t in range(1, len(row.ids)):
        if row.supervised[t]:
            for p, q in zip(other[t - 1].tolist(), own[t - 1].tolist(), strict=True):
                total += math.exp(p) * (p - q)
            count += 1
    return total, count


def rolling_nll(model, ids, opening, length):
    """Return (sum of −log p, number) over a text: every token after at most length − 1 tokens of its own window."""
    whole = ids if opening is None else [opening, *ids]
    total, count = 0.0, 0
    for t in range(1, len(whole)):
        start = (t - 1) // (length - 1) * (length - 1)
        with torch.no_grad():
            logits = model(torch.tensor([whole[start:t]])).logits[0, -1].double()
        total -= float(logits.log_softmax(-1)[whole[t]])
        count += 1
    return total, count


def believed(model, tokenizer, text):
    """Return P(yes) / (P(yes) + P(no)) after a user turn: two whole texts in the plain layout, written out here.

    What stands before the answer is the same in both, so the difference of the texts is that of the answers.
    """
    totals = []
    for verdict in ("yes", "no"):
        whole = f"### Instruction:\n{text}\n\n### Response:\n{verdict}{tokenizer.eos_token}"
        ids = tokenizer(whole, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            log_p = model(ids).logits[0].double().log_softmax(-1)
        totals.append(sum(float(log_p[t - 1, ids[0, t]]) for t in range(1, ids.shape[1])))
    return 1 / (1 + math.exp(totals[1] - totals[0]))


def squad_normal_form(text):
    """Return the normal form of SQuAD's evaluate-v1.1.py."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def longest_common(first, second):
    """Return the length of the longest common subsequence by trying every one of the first."""
    from itertools import combinations

    for size in range(min(len(first), len(second)), 0, -1):
        for chosen in combinations(first, size):
            rest = iter(second)
            if all(word in rest for word in chosen):
                return size
    return 0
