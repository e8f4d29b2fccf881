"""Serves files over HTTP on the loopback, as web servers do, and breaks off where it is asked to."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Site:
    """What a server serves, and how."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers of every answer, such as an etag."""
    ranges: bool = True
    """Whether parts of files are served."""
    cut_at: int | None = None
    """Position in a file at which the connection breaks."""
    good_requests: int | None = None
    """Requests for content that are answered; at later ones the connection breaks before the first byte."""


@contextmanager
def serving() -> Iterator[Site]:
    """Serve a site while the context lasts."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            """Print nothing."""

        def _answer(self, *, body: bool) -> None:
            content = site.files.get(self.path.partition("?")[0])
            if content is None:
                self.send_error(404)
                return
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if site.ranges else None
            start = int(asked[1]) if asked else 0
            stop = min(int(asked[2]) + 1 if asked and asked[2] else len(content), len(content))
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(stop - start))
            if site.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                end = stop if site.cut_at is None else max(start, min(stop, site.cut_at))
                if site.good_requests is not None:
                    end = end if site.good_requests else start
                    site.good_requests = max(0, site.good_requests - 1)
                self.wfile.write(content[start:end])
                self.close_connection = end < stop

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
