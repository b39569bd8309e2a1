"""A look at a static folder on loopback: Python's own server, with the types that browsers insist on."""

import contextlib
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from lenet_edge_runtime.errors import WebError

HOST = "127.0.0.1"
# Modules and WebAssembly are refused by browsers under any other type; the system's own table may say otherwise.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


class PageHandler(SimpleHTTPRequestHandler):
    """Serves the files of one folder; lists no folders and follows no link out of it."""

    extensions_map: ClassVar[dict[str, str]] = TYPES  # type: ignore[misc]
    server_version = "lenet-edge"
    protocol_version = "HTTP/1.1"

    def send_head(self) -> Any:
        """Answer 404 for what lies outside, by a link too; else as the base class does."""
        if not self._is_inside():
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def _is_inside(self) -> bool:
        try:
            return Path(self.translate_path(self.path)).resolve().is_relative_to(Path(self.directory).resolve())
        except (OSError, ValueError):  # a name too long, or with a zero byte in it
            return False

    def list_directory(self, path: Any) -> None:  # noqa: ARG002
        """No listings."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """A page that was written anew is seen anew, and no type is guessed."""
        # Not no-cache: what is asked for again by its time, in whole seconds, may have changed within one.
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the address and no more."""


class PageServer(ThreadingHTTPServer):
    """Threads of it die with the process: a browser keeps connections open."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""


@contextlib.contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[PageServer]:
    """A server for `folder` on loopback, closed at the end; port 0 takes a free one. Call its `serve_forever`.

    Raises WebError where the folder holds no page or the port is taken.
    """
    if not (folder / "index.html").is_file():
        raise WebError(f"{folder} holds no index.html; write a page by 'lenet-edge export --web {folder}'")
    try:
        server = PageServer((HOST, port), partial(PageHandler, directory=str(folder)))
    except OSError as error:
        raise WebError(f"port {port} cannot be used ({error.strerror}); choose another by --port, or 0") from None
    with server:
        yield server


def address_of(server: PageServer) -> str:
    """Its URL."""
    return f"http://{HOST}:{server.server_address[1]}/"
