"""The gap closed by a recovered model, from transformers alone: an independent check of the figures of `real_trial.py`.

    python benchmarks/gap_closed.py --original A --compressed B --recovered C --rows heldout.jsonl

Rows have ``prompt``, ``response`` and ``source``. Prints 1 − KL(original ‖ recovered) / KL(original ‖ compressed) of
the response's tokens for each source, and their mean.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def log_probabilities(model, tokenizer, row):
    """Return the log-probabilities that predict the response, (tokens, vocabulary)."""
    prompt = [{"role": "user", "content": row["prompt"]}]
    whole = [*prompt, {"role": "assistant", "content": row["response"]}]
    start = len(tokenizer(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)).input_ids)
    ids = tokenizer(tokenizer.apply_chat_template(whole, tokenize=False), return_tensors="pt").input_ids
    return model(ids).logits[0, start - 1 : -1].double().log_softmax(-1)


@torch.inference_mode()
def main():
    """Print the gap closed for each source."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("original", "compressed", "recovered", "rows"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.original)
    folders = (arguments.original, arguments.compressed, arguments.recovered)
    models = [AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval() for folder in folders]
    sums = defaultdict(lambda: [0.0, 0.0])
    for row in map(json.loads, arguments.rows.read_text("utf-8").splitlines()):
        original, *others = (log_probabilities(model, tokenizer, row) for model in models)
        for index, other in enumerate(others):
            sums[row["source"]][index] += float((original.exp() * (original - other)).sum())
    closed = {source: 1 - after / before for source, (before, after) in sorted(sums.items())}
    print(json.dumps({**closed, "mean": sum(closed.values()) / len(closed)}))


if __name__ == "__main__":
    main()
