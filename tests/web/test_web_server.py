"""`lenet-edge serve`: loopback, the types that browsers insist on, nothing from outside of the folder, a quiet end."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from command_line import CommandLine
from lenet_edge.web.server import CONNECTIONS, PageHandler, PageServer, address_of, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    page = tmp_path / "page"
    (page / "sub").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html><p>hello")
    for name in ("app.mjs", "net.wasm", "net.onnx", "style.css", "model.json", "icon.svg", "sub/deep.js"):
        (page / name).write_text("1")
    (tmp_path / "secret.txt").write_text("secret")
    (page / "way-out").symlink_to(tmp_path / "secret.txt")
    return page


@pytest.fixture
def server(folder: Path) -> Iterator[PageServer]:
    with serving(folder) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def get(server: PageServer, path: str, method: str = "GET") -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.request(method, path)
    response = connection.getresponse()
    answer = response.status, response.getheader("Content-Type"), response.read()
    connection.close()
    return answer


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.mjs", "text/javascript; charset=utf-8"),
        ("/sub/deep.js", "text/javascript; charset=utf-8"),
        ("/net.wasm", "application/wasm"),
        ("/net.onnx", "application/octet-stream"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/model.json?again", "application/json"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_files_have_their_types(path: str, kind: str, server: PageServer) -> None:
    assert get(server, path)[:2] == (200, kind)
    assert get(server, path, "HEAD")[2] == b""


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/%2e%2e/secret.txt", "/sub/..%2f..%2fsecret.txt", "/..%5csecret.txt", "//secret.txt",
        "/way-out", "/sub/", "/nowhere", "/a%00b", "/" + "a" * 5000,
    ],
)  # fmt: skip
def test_nothing_else_is_given(path: str, server: PageServer) -> None:
    status, _, body = get(server, path)
    assert status == 404
    assert body != b"secret"


def test_only_this_machine_is_served(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert address_of(server) == f"http://127.0.0.1:{server.server_address[1]}/"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(method: str, server: PageServer) -> None:
    assert get(server, "/index.html", method)[0] == 501


def test_folder_without_a_page(cli: CommandLine) -> None:
    assert cli.fails("serve", "nowhere").endswith(
        "nowhere holds no index.html; write a page by 'lenet-edge export --web nowhere'"
    )


def test_port_that_is_taken(folder: Path, cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = cli.fails("serve", folder, "--port", str(port))
    assert f"port {port} cannot be used (Address already in use); choose another by --port, or 0" in message


def _heeding_ctrl_c() -> None:
    """As in a terminal: what a shell starts in the background, these tests perhaps, ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("as_json", [False, True])
def test_it_prints_its_address_and_ends_quietly(as_json: bool, folder: Path) -> None:
    command = [sys.executable, "-m", "lenet_edge", "serve", str(folder), "--port", "0"] + ["--json"] * as_json
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_heeding_ctrl_c
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "Ctrl-C ends it\n"
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    address = json.loads(output)["url"] if as_json else output.strip()
    assert address.startswith("http://127.0.0.1:")
    assert errors == ""
    assert process.returncode == 0


# --- what a page from elsewhere, or whoever holds connections open, could try ---------------------------------------


def answer_to(server: PageServer, request: bytes) -> bytes:
    """All that is answered to these bytes; empty where the connection is closed without a word."""
    with socket.create_connection(server.server_address[:2], timeout=10) as connection:
        connection.sendall(request)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example:80", "0.0.0.0", "10.1.1.1",
        "[::1].evil.example", "127.0.0.1:80@evil.example", "127.0.0.1:123456", "", " ", "localhost evil", "xn--e1aybc",
    ],
)  # fmt: skip
def test_other_hosts_are_refused(host: str, server: PageServer) -> None:
    found = answer_to(server, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert found.startswith(b"HTTP/1.1 421 ")
    assert b"<p>hello" not in found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost:9000", "127.0.0.1:1", "[::1]:8000", "[::1]"])
def test_this_machine_is_answered(host: str, server: PageServer) -> None:
    found = answer_to(server, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert found.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("head", ["", "Host: localhost\r\nHost: evil.example\r\n"])
def test_a_request_has_one_host(head: str, server: PageServer) -> None:
    found = answer_to(server, f"GET / HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
    assert found.startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("path", ["/", "/app.mjs", "/nowhere", "/.git/config"])
def test_every_answer_has_the_page_s_policy(path: str, folder: Path, server: PageServer) -> None:
    policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"
    (folder / "index.html").write_text(f'<meta http-equiv="Content-Security-Policy" content="{policy}">')
    found = answer_to(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert f"Content-Security-Policy: {policy}; frame-ancestors 'none'\r\n".encode() in found
    assert b"X-Content-Type-Options: nosniff\r\n" in found
    assert b"Python" not in found


def test_page_without_a_policy_gets_the_strictest(server: PageServer) -> None:
    found = answer_to(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n" in found


@pytest.mark.parametrize("name", [".env", ".git/config", "sub/.hidden", ".well-known/x", "sub/.a/b.js"])
def test_hidden_files_are_not_given(name: str, folder: Path, server: PageServer) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("hidden")
    for path in (f"/{name}", f"/{name.replace('.', '%2e')}", f"/sub/../{name}"):
        status, _, body = get(server, path)
        assert status == 404
        assert b"hidden" not in body


@pytest.mark.parametrize("name", ["pipe.js", "sub/index.html", "endless.js"])
def test_what_is_no_file_keeps_nobody_waiting(name: str, folder: Path, server: PageServer) -> None:
    import os

    if name.startswith("endless"):
        (folder / name).symlink_to("/dev/zero")
    else:
        os.mkfifo(folder / name)
    assert get(server, f"/{name}")[0] == 404
    assert get(server, "/sub/")[0] == 404


def test_connections_are_bounded_and_nobody_is_kept_out(server: PageServer) -> None:
    """Half-open clients held a thread each, for ever."""
    before = threading.active_count()
    held = [socket.create_connection(server.server_address[:2], timeout=10) for _ in range(3 * CONNECTIONS)]
    try:
        for connection in held:
            connection.sendall(b"GET / HTTP/1.1\r\n")  # and no end of it
        for _ in range(20):
            assert get(server, "/")[0] == 200
        assert server.connections <= CONNECTIONS
        assert threading.active_count() - before <= CONNECTIONS + 5
    finally:
        for connection in held:
            connection.close()


def test_silent_connections_are_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PageHandler, "timeout", 0.2)
    with serving(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            assert answer_to(server, b"GET / HTTP/1.1\r\nHost: loc") == b""
            assert answer_to(server, b"") == b""
        finally:
            server.shutdown()
            thread.join()
