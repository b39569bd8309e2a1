"""A look at a static folder on loopback: Python's own server, with the types that browsers insist on."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from lenet_edge_runtime.errors import WebError
from lenet_edge_runtime.reading import check_regular, read_text, real_path

HOST = "127.0.0.1"
LOOPBACK = frozenset({HOST, "localhost", "[::1]"})
SECONDS = 20  # that a connection may be silent
CONNECTIONS = 64  # a browser opens six
NONE = "'none'"
_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"\r\n]+)"')
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
    """Serves the files of one folder to this machine: no listings, no hidden files, no link out of it, no pipes.

    A request has to name this machine (`Host`): a page from elsewhere whose name was made to resolve to loopback (DNS
    rebinding) is refused.
    """

    extensions_map: ClassVar[dict[str, str]] = TYPES  # type: ignore[misc]
    server_version = "lenet-edge"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = SECONDS

    def send_head(self) -> Any:
        """Answer 421 for another host, 404 for what is not to be seen; else as the base class does."""
        if not names_loopback(*self.headers.get_all("Host", [])):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, f"this server answers on {HOST} and localhost alone")
            return None
        if not self._is_shown():
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def _is_shown(self) -> bool:
        root = real_path(self.directory)
        try:
            path = Path(self.translate_path(self.path))
            if path.is_dir():
                path = path / "index.html"
            if any(part.startswith(".") for part in path.relative_to(self.directory).parts):
                return False
            check_regular(path)
            return real_path(path).is_relative_to(root)
        except (OSError, ValueError):  # not there, a pipe, a name too long, or with a zero byte in it
            return False

    def list_directory(self, path: Any) -> None:  # noqa: ARG002
        """No listings."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """The page's own policy as a header, too; a page that was written anew is seen anew; no type is guessed."""
        # Not no-cache: what is asked for again by its time, in whole seconds, may have changed within one.
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", policy_of(Path(self.directory)))
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal shows the address and no more."""


class PageServer(ThreadingHTTPServer):
    """Threads of it die with the process: a browser keeps connections open.

    One connection has one thread, and there are CONNECTIONS of them at most: for another the oldest is ended, so that
    whoever only holds connections open keeps nobody out.
    """

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._open: dict[int, Any] = {}  # by the socket's identity, the oldest first
        self._lock = threading.Lock()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Make room, and answer in a thread."""
        with self._lock:
            oldest = self._open.pop(next(iter(self._open))) if len(self._open) >= CONNECTIONS else None
            self._open[id(request)] = request
        if oldest is not None:
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)  # its thread reads the end and closes it
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        with self._lock:
            self._open.pop(id(request), None)
        super().shutdown_request(request)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is no error."""


def names_loopback(host: str = "", *others: str) -> bool:
    """Whether a request's one Host header names this machine, with any port: it may be forwarded."""
    name, _, port = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", "")
    return not others and name.lower() in LOOPBACK and len(port) <= 5


def policy_of(folder: Path) -> str:
    """The security policy that the folder's page states (it knows which engine it loads), and no frame around it.

    A page that states none gets the strictest.
    """
    try:
        stated = _POLICY.search(read_text(folder / "index.html"))
    except (OSError, ValueError):
        stated = None
    return f"{stated[1] if stated else 'default-src ' + NONE}; frame-ancestors {NONE}"


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
