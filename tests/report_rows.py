"""Reads the rows back from the data of a report, byte by byte: what `templates/unpack.js` does in a browser."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any


def unpacked(packed: str) -> bytes:
    text = packed.replace(",", "<").replace(".", ">").replace(":", "&")
    return zlib.decompress(base64.b85decode(text)) if text else b""


def rows_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one dict per drawn row: id, kept, reason, cluster, damage step, layouts, and its text if it has one."""
    known = data["rows"]
    n, left = known["n"], list(unpacked(known["packed"]))

    def take(count: int) -> list[int]:
        taken, left[:count] = left[:count], []
        return taken

    def pairs() -> list[int]:
        high, low = take(n), take(n)
        return [256 * one + other for one, other in zip(high, low, strict=True)]

    def unit() -> list[float]:
        high, low = take(n), take((n + 1) // 2)
        return [(16 * one + (low[i // 2] % 16 if i % 2 else low[i // 2] // 16)) / 4095 for i, one in enumerate(high)]

    planes = [take(n) for _ in range(known["digits"] // 2)]
    number, rows = 0, []
    for i in range(n):
        number += int.from_bytes(bytes(plane[i] for plane in planes), "big")
        rows.append({"id": f"{number:0{known['digits']}x}", "text": None})
    columns: dict[str, list[Any]] = {"kept": take(n), "reason": [known["reasons"][one] for one in pairs()]}
    columns["cluster"] = pairs() if known["clustered"] else [None] * n
    columns["damage"] = take(n) if known["damage"] else [None] * n
    columns |= {name: list(zip(unit(), unit(), strict=True)) for name in known["layouts"]}
    assert left == []
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    for line in unpacked(data["texts"]["packed"]).decode().splitlines():
        place, rank, signals, prompt, response = json.loads(line)
        rows[place]["text"] = {"rank": rank, "signals": signals, "prompt": prompt, "response": response}
    return rows
