"""onnxruntime-web, one version of it: its two files that run a net in WebAssembly, from npm or from a CDN.

The build without WebGPU and WebGL is the smallest. The bundle holds the glue code that other builds load apart.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lenet_edge.web.static_files import static_file
from lenet_edge_runtime.errors import WebError

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
DEFAULT_CDN = f"https://cdn.jsdelivr.net/npm/{PACKAGE}/dist/"
FOLDER = f"onnxruntime-web-{VERSION}"  # in the page's folder
NPM_SECONDS = 300  # 33 MB to download


@dataclass(frozen=True)
class PinnedFile:
    """A file of the package, as npm gave it when the version was chosen."""

    name: str
    bytes: int
    sha256: str

    @property
    def integrity(self) -> str:
        """The hash as browsers take it (W3C, Subresource Integrity)."""
        return f"sha256-{base64.b64encode(bytes.fromhex(self.sha256)).decode()}"


FILES = (
    PinnedFile("ort.wasm.bundle.min.mjs", 73_054, "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90"),
    PinnedFile(
        "ort-wasm-simd-threaded.wasm", 14_239_897, "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
)


@dataclass(frozen=True)
class Runtime:
    """Where the page finds onnxruntime-web: `files` to put into its folder, or none and an `origin` elsewhere."""

    address: str  # of the folder with the two files, as a module imports from it; ends in /
    files: dict[str, bytes]
    origin: str
    remark: str


def obtain(cdn: str | None) -> Runtime:
    """The two files by npm; with `cdn`, or where there is no npm, nothing but an address. Raises WebError."""
    if cdn is not None:
        return _from_cdn(cdn, "the page loads it from there, because --cdn was given")
    if shutil.which("npm") is None:
        return _from_cdn(DEFAULT_CDN, "npm is not installed, so the page loads it from there (or by --cdn)")
    files = {f"{FOLDER}/{name}": content for name, content in _by_npm().items()}
    size = sum(row.bytes for row in FILES) / 1e6
    return Runtime(f"./{FOLDER}/", files, "", f"{PACKAGE}: {size:.1f} MB in {FOLDER}/, fetched by npm")


def modules(runtime: Runtime) -> dict[str, bytes]:
    """The engine's module, and the one that gives it onnxruntime-web: from elsewhere only by the pinned hashes."""
    where = "onnxruntime-elsewhere.mjs" if runtime.origin else "onnxruntime-here.mjs"
    pinned = json.dumps({row.name: row.integrity for row in FILES}, indent=2)
    given = static_file(where).replace(b"{{address}}", runtime.address.encode())
    return {
        "engine.mjs": static_file("engine-ort.mjs"),
        "onnxruntime.mjs": given.replace(b"{{pinned}}", pinned.encode()),
    }


def _from_cdn(address: str, reason: str) -> Runtime:
    parts = urlsplit(address)
    # It stands within a string of JavaScript and in the page's security policy.
    if parts.scheme not in ("https", "http") or not parts.netloc or set(address) & set("\"'\\;<>` \n\r\t,?#"):
        raise WebError(f"--cdn is the address of a folder, such as {DEFAULT_CDN}, got {address!r}")
    address = address if address.endswith("/") else address + "/"
    return Runtime(address, {}, f"{parts.scheme}://{parts.netloc}", f"{PACKAGE}: {address}; {reason}")


def _by_npm() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", PACKAGE, "--silent", "--prefer-offline", "--pack-destination", folder]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=NPM_SECONDS)
            (archive,) = Path(folder).glob("*.tgz")
            return _unpack(archive)
        except subprocess.CalledProcessError as error:
            reason = next(iter((error.stderr or error.stdout).strip().splitlines()), f"exit code {error.returncode}")
        except (subprocess.TimeoutExpired, OSError, ValueError, KeyError, tarfile.TarError) as error:
            reason = str(error)
    raise WebError(
        f"npm could not fetch {PACKAGE} ({reason}); try again, or give --cdn {DEFAULT_CDN} to load it from there"
    )


def _unpack(archive: Path) -> dict[str, bytes]:
    """The pinned files of npm's archive; raises ValueError where one is another than it was."""
    found = {}
    with tarfile.open(archive) as package:
        for row in FILES:
            member = package.extractfile(f"package/dist/{row.name}")
            content = member.read(row.bytes + 1) if member else b""
            if hashlib.sha256(content).hexdigest() != row.sha256:
                raise ValueError(f"{row.name} is not the pinned version's file")
            found[row.name] = content
    return found
