"""Who made a file: Ed25519 signatures (RFC 8032), by the package cryptography (`pip install 'lenet-edge[sign]'`).

The seal of a file finds accidents; whoever changes a file can seal it anew. A signature cannot be made without the
private key. In an ONNX file it is one more entry of metadata, in an ORT file it stands behind the end, both before the
seal; it is over all that stands before it. Everything else has it beside it, in a file that ends in .sig.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

from lenet_edge_runtime import onnx_file, proof, records
from lenet_edge_runtime.errors import GateError, MissingExtraError, SigningError
from lenet_edge_runtime.reading import read_bytes, read_text
from lenet_edge_runtime.spec import PREFIX

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = PREFIX + "signature"
DETACHED = ".sig"
_CONTEXT = b"lenet-edge signature 1\0"  # so that a signature of anything else by the same key is none of a file
_TEXT = re.compile(r"ed25519:([A-Za-z0-9+/]{43}=):([A-Za-z0-9+/]{86}==)")
_LENGTH = len("ed25519:") + 44 + 1 + 88
_ORT = b"ORTM"
_SEAL_LENGTH = 64
KEY_BYTES = 10_000


@dataclass(frozen=True)
class Signature:
    """A signature and the public key that it names, 64 and 32 bytes."""

    public_key: bytes
    value: bytes

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key: what people compare."""
        return fingerprint_of(self.public_key)

    def to_text(self) -> str:
        """On one line, always of the same length."""
        return f"ed25519:{base64.b64encode(self.public_key).decode()}:{base64.b64encode(self.value).decode()}"

    @classmethod
    def from_text(cls, text: str) -> Signature | None:
        """Read back what `to_text` wrote; None for anything else."""
        found = _TEXT.fullmatch(text)
        return cls(base64.b64decode(found[1]), base64.b64decode(found[2])) if found else None


@dataclass(frozen=True)
class Detached:
    """What a .sig file holds."""

    schema: str
    signature: str


SCHEMA = "lenet-edge signature 1"
# What is said where the other half of a pair was given.
_OTHER = {
    "private": (b"BEGIN PUBLIC KEY", "the public key: give the private one, without .pub"),
    "public": (b"BEGIN PRIVATE KEY", "a private key, which only who signs may have: give the public one, with .pub"),
}


def fingerprint_of(public_key: bytes) -> str:
    """The fingerprint of a raw public key."""
    return "sha256:" + hashlib.sha256(public_key).hexdigest()


def make_keys() -> tuple[bytes, bytes]:
    """A new private key and its public key, both as PEM."""
    from_package = _package()
    private = from_package.Ed25519PrivateKey.generate()
    serialization = _serialization()
    return (
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a PEM file; raises SigningError for anything else."""
    kind = _package().Ed25519PrivateKey
    try:
        key = _serialization().load_pem_private_key(read_bytes(path, KEY_BYTES), None)
    except Exception as error:  # the package raises half a dozen types
        raise _no_key(path, error, "private") from None
    if not isinstance(key, kind):
        raise _no_key(path, "of another algorithm", "private")
    return cast("Ed25519PrivateKey", key)


def read_public_key(path: Path) -> bytes:
    """The public key in a PEM file, raw (32 bytes); raises SigningError for anything else."""
    kind = _package().Ed25519PublicKey
    try:
        key = _serialization().load_pem_public_key(read_bytes(path, KEY_BYTES))
    except Exception as error:
        raise _no_key(path, error, "public") from None
    if not isinstance(key, kind):
        raise _no_key(path, "of another algorithm", "public")
    return raw(key)


def raw(key: Ed25519PublicKey) -> bytes:
    """A public key's 32 bytes."""
    serialization = _serialization()
    return bytes(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))


def sign(payload: bytes, key: Ed25519PrivateKey) -> Signature:
    """Sign bytes."""
    return Signature(raw(key.public_key()), key.sign(_CONTEXT + payload))


def check(payload: bytes, signature: Signature | None, public_key: bytes, name: str) -> str:
    """The fingerprint of who signed; raises GateError where nobody did, another key did, or the bytes changed."""
    if signature is None:
        raise GateError(
            f"{name} is not signed, so the key proves nothing of it: ask for a signed one, or, if it is yours, type "
            f"'lenet-edge sign {name} --key KEY'"
        )
    if signature.public_key != public_key:
        raise GateError(
            f"{name} is signed by another key, {signature.fingerprint}, not by {fingerprint_of(public_key)}: ask whose "
            f"that is before you use it"
        )
    from cryptography.exceptions import InvalidSignature

    try:
        _package().Ed25519PublicKey.from_public_bytes(public_key).verify(signature.value, _CONTEXT + payload)
    except InvalidSignature:
        raise GateError(
            f"{name} was changed after it was signed: its signature is broken; copy it anew, or, if you exported or "
            f"signed files of it since, sign it again"
        ) from None
    return signature.fingerprint


def signed(content: bytes, key: Ed25519PrivateKey) -> bytes:
    """A sealed ONNX or ORT file with a signature, sealed anew; one that it had is replaced."""
    payload, _ = split(content)
    text = sign(payload, key).to_text()
    if content[4:8] == _ORT:
        return proof.seal_end(payload + _mark() + text.encode())
    with_signature = onnx_file.append_metadata(payload, {SIGNATURE: text})
    return proof.seal_end(onnx_file.append_metadata(with_signature, {proof.SEAL: "0" * _SEAL_LENGTH})[:-_SEAL_LENGTH])


def split(content: bytes) -> tuple[bytes, Signature | None]:
    """A sealed file's bytes without signature and seal, which is what a signature is over, and the signature."""
    if content[4:8] == _ORT:
        end, before = _SEAL_LENGTH, _mark()
    else:
        end = len(onnx_file.append_metadata(b"", {proof.SEAL: "0" * _SEAL_LENGTH}))
        before = onnx_file.append_metadata(b"", {SIGNATURE: "0" * _LENGTH})[:-_LENGTH]
    body = content[:-end]
    found = None
    if body[-_LENGTH - len(before) : -_LENGTH] == before:
        found = Signature.from_text(body[-_LENGTH:].decode("ascii", "replace"))
    return (body, None) if found is None else (body[: -_LENGTH - len(before)], found)


def check_file(content: bytes, public_key: Path | str, name: str) -> str:
    """The fingerprint of who signed an ONNX or ORT file; see `check`."""
    payload, found = split(content)
    return check(payload, found, read_public_key(Path(public_key)), name)


def write_detached(signature: Signature) -> str:
    """The text of a .sig file."""
    return json.dumps({"schema": SCHEMA, "signature": signature.to_text()}, indent=1) + "\n"


def read_detached(path: Path) -> Signature | None:
    """The signature in a .sig file; None where there is no file. Raises SigningError for a damaged one."""
    if not path.exists():
        return None
    try:
        found = Signature.from_text(records.from_fields(Detached, records.parse(read_text(path))).signature)
    except (OSError, ValueError) as error:
        raise SigningError(f"{path} is damaged ({error}); copy it anew, or sign again") from None
    if found is None:
        raise SigningError(f"{path} is damaged (its signature is none); copy it anew, or sign again")
    return found


def _mark() -> bytes:
    return (SIGNATURE + "=").encode()


def _no_key(path: Path, why: object, kind: str) -> SigningError:
    mark, said = _OTHER[kind]
    with contextlib.suppress(OSError):
        if mark in read_bytes(path, KEY_BYTES):
            return SigningError(f"{path} is {said}")
    reason = " ".join(str(why).split())[:100]
    return SigningError(f"{path} is no {kind} Ed25519 key as PEM ({reason}); 'lenet-edge keygen' writes a pair")


def _package() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError:
        raise MissingExtraError("signatures need cryptography: type pip install 'lenet-edge[sign]'") from None
    return ed25519


def _serialization() -> ModuleType:
    from cryptography.hazmat.primitives import serialization

    return serialization
