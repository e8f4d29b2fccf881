"""A headless Chromium for tests: the DOM of a page after its scripts ran, and screenshots."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
    "--virtual-time-budget=4000",
)  # fmt: skip
FRAME = """<!doctype html><meta charset="utf-8"><style>body{{margin:0;background:#888}}iframe{{border:0;display:block}}
</style><iframe src="{source}" width="{width}" height="{height}"></iframe><pre id="heard"></pre>
<script>addEventListener("message", (event) => {{ document.querySelector("#heard").textContent = event.data; }});
</script>
"""
"""Shows a page at any width; Chromium's own window has a minimum width larger than a phone's."""
PROBE = """<script>const look = (again) => setTimeout(async () => {
  // The pictures are drawn in a frame of their own, which a busy machine may grant late.
  if (again && [...document.querySelectorAll("canvas")].some((one) => one.width === 300)) return look(again - 1);
  const wide = [...document.querySelectorAll("body *")].filter((one) => !one.closest(".scroll, .hidden, .skip, pre")
    && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.tagName + "." + one.className);
  const kept = [...document.querySelectorAll("canvas")].map((one) => {
    const pixels = one.getContext("2d").getImageData(0, 0, one.width, one.height).data;
    let found = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      found += pixels[i + 3] > 99 && pixels[i] > 180 && pixels[i + 1] < 130 && pixels[i + 2] < 160;
    }
    return found;
  });
  const text = (id) => document.getElementById(id).textContent, count = text("row-count");
  const search = document.getElementById("map-search"), canvas = document.getElementById("map-canvas");
  const find = (words) => { search.value = words; search.dispatchEvent(new Event("input")); };
  find("conflict");
  const searched = text("row-count"), rows = document.querySelectorAll("#row-body tr").length;
  find("");
  const box = canvas.getBoundingClientRect();
  const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", { key }));
  const point = (type, x, y, more) => canvas.dispatchEvent(new PointerEvent(type,
    { clientX: box.left + x * box.width, clientY: box.top + y * box.height, ...more }));
  canvas.setPointerCapture = () => {};  // a made-up pointer cannot be captured
  point("pointermove", 0.5, 0.5);
  const hovered = text("card"), tip = text("map-tip"), ids = () => document.getElementById("ids").value;
  point("pointerdown", 0.01, 0.01, { shiftKey: true });
  for (const [x, y] of [[0.5, 0.01], [0.5, 0.5], [0.01, 0.5]]) point("pointermove", x, y);
  point("pointerup", 0.01, 0.4);
  const lasso = ids();
  press("Escape");
  point("pointerdown", 0.5, 0.5); point("pointerup", 0.5, 0.5);
  press("ArrowRight"); press(" "); press("+");
  document.querySelector("input[value='--exclude']").click();
  const keyed = ids(), files = [], url = URL.createObjectURL, heard = [];
  URL.createObjectURL = (file) => { files.push(file); return url(file); };
  document.getElementById("ids-save").click();
  document.addEventListener("copy", () => heard.push(getSelection().toString()));
  document.getElementById("ids-copy").click();
  await new Promise((done) => setTimeout(done, 200));
  const saved = await files[0].text(), copied = [text("ids-said"), ...heard];
  parent.postMessage(JSON.stringify({ wide, kept, count, searched, rows, hovered, tip, lasso, keyed, saved, copied,
    card: text("card"), scroll: document.documentElement.scrollWidth }), "*");
}, 100);
look(25);</script>"""
"""Runs in a copy of the report: elements that overflow to the right, pixels drawn, and then as a reader does, a search,
a pointer over the map, a lasso around its upper left quarter, and keys."""


def chromium() -> str:
    """Return the path of the browser, or skip the test if there is none."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    return executable


def run(page: Path, profile: Path, *options: str, dark: bool = False) -> subprocess.CompletedProcess[str]:
    """Open a page, wait for its scripts, and return what Chromium printed."""
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    command = [chromium(), *FLAGS, f"--user-data-dir={profile}", scheme, *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=os.environ)


def probed(page: Path, profile: Path, *options: str, dark: bool = False) -> subprocess.CompletedProcess[str]:
    """Open a page of `framed` and return what Chromium printed, once the probe has answered.

    The time of a page is virtual: on a busy machine it may be over before the browser has read a file back.
    """
    for _ in range(3):
        done = run(page, profile, "--dump-dom", *options, dark=dark)
        if '<pre id="heard"></pre>' not in done.stdout:
            break
    return done


def framed(page: Path, folder: Path, width: int, height: int, probe: bool = False) -> Path:
    """Return a page that shows `page` in a frame of some width; with `probe`, a copy that reports about itself."""
    if probe:
        text = page.read_text("utf-8").replace("</body>", PROBE + "</body>")
        page = folder / f"probed-{width}.html"
        page.write_text(text, "utf-8")
    frame = folder / f"frame-{width}-{'probe' if probe else 'look'}.html"
    frame.write_text(FRAME.format(source=page.as_uri(), width=width, height=height), "utf-8")
    return frame
