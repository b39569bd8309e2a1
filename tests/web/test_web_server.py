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
from lenet_edge.web.server import PageServer, address_of, serving


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
