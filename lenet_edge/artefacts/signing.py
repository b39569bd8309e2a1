"""Signing what was exported: an ONNX or ORT file within itself, everything else by a signature beside it.

Of a run, or a folder of exports, the manifest is signed, which lists every file with its SHA-256.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lenet_edge_exporters import atomic, manifest
from lenet_edge_exporters.formats import format_of
from lenet_edge_runtime import signing
from lenet_edge_runtime.errors import ModelFileError, SigningError
from lenet_edge_runtime.reading import read_bytes, read_text
from lenet_edge_runtime.sessions import read_model

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CARDS = ("README.md", "MODEL_CARD.md")
SIGNED_LINE = "Signed (Ed25519) by the key "


@dataclass(frozen=True)
class Signed:
    """What was signed or checked: the file that holds the signature, and the fingerprint of the key."""

    path: str
    fingerprint: str


def write_keys(path: Path) -> str:
    """Write a private key (mode 600) and beside it, as NAME.pub, the public one; return their fingerprint.

    Raises SigningError where one of them is there already.
    """
    public_path = path.with_name(path.name + ".pub")
    for place in (path, public_path):
        if place.exists():
            raise SigningError(f"{place} is there already, and no key is written over: name another")
    private, public = signing.make_keys()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # never readable by others, not for a moment
    with os.fdopen(handle, "wb") as file:
        file.write(private)
    atomic.write_bytes(public_path, public)
    return signing.fingerprint_of(signing.read_public_key(public_path))


def sign(path: Path, key: "Ed25519PrivateKey") -> Signed:
    """Sign an exported file, a run or a folder of exports; raises GateError where it is not as its manifest says."""
    if path.is_dir():
        return _sign_folder(path, key)
    manifest.check(path)
    content = read_model(path)
    if not _embeds(path):
        beside = path.with_name(path.name + signing.DETACHED)
        signature = signing.sign(content, key)
        atomic.write_text(beside, signing.write_detached(signature))
        return Signed(str(beside), signature.fingerprint)
    if not _is_sealed(content):
        raise ModelFileError(f"{path} has no seal, or a broken one: export it again, then sign it")
    signed = signing.signed(content, key)
    listed = [folder for folder in manifest.folders_above(path) if manifest.entry_of(folder, path)]
    atomic.write_bytes(path, signed)
    fingerprint = signing.fingerprint_of(signing.raw(key.public_key()))
    cards = _update_cards(path.parent, fingerprint, (content, signed))
    for folder in listed:
        manifest.add(folder, [path, *(card for card in cards if manifest.entry_of(folder, card))])
    return Signed(str(path), fingerprint)


def check(path: Path, public_key: Path) -> Signed:
    """Who signed a file, a run or a folder; raises GateError where it is not whole, or not signed by this key."""
    wanted = signing.read_public_key(public_key)
    if path.is_dir() and manifest.read(path):
        return _check_folder(path, wanted)
    if not path.is_dir():
        content = read_model(path)
        detached = path.with_name(path.name + signing.DETACHED)
        payload, found = signing.split(content) if _embeds(path) else (content, signing.read_detached(detached))
        if found is not None:
            return Signed(str(path), signing.check(payload, found, wanted, str(path)))
    for folder in manifest.folders_above(path):
        if manifest.covers(folder, path) and (folder / (manifest.NAME + signing.DETACHED)).exists():
            manifest.check(path)
            return _check_folder(folder, wanted, whole=False)
    return Signed(str(path), signing.check(b"", None, wanted, str(path)))


def _sign_folder(folder: Path, key: "Ed25519PrivateKey") -> Signed:
    if not manifest.read(folder):
        files = format_of(folder).files_at(folder)
        if not all(file.is_file() for file in files):
            raise ModelFileError(f"{folder} has no manifest and is no folder of an export: sign what export wrote")
        manifest.add(folder, files)
    manifest.check_all(folder)
    fingerprint = signing.fingerprint_of(signing.raw(key.public_key()))
    places = (folder, folder / manifest.EXPORTS)
    cards = [card for place in places for card in _update_cards(place, fingerprint) if manifest.entry_of(folder, card)]
    manifest.add(folder, cards)
    path = folder / (manifest.NAME + signing.DETACHED)
    atomic.write_text(path, signing.write_detached(signing.sign(read_bytes(folder / manifest.NAME), key)))
    return Signed(str(path), fingerprint)


def _check_folder(folder: Path, wanted: bytes, *, whole: bool = True) -> Signed:
    path = folder / manifest.NAME
    found = signing.read_detached(path.with_name(path.name + signing.DETACHED))
    fingerprint = signing.check(read_bytes(path), found, wanted, str(folder))
    if whole:
        manifest.check_all(folder)
    return Signed(str(folder), fingerprint)


def _embeds(path: Path) -> bool:
    """Whether a file has room for a signature within itself: ONNX and ORT."""
    return format_of(path).backend == "onnxruntime"


def _is_sealed(content: bytes) -> bool:
    from lenet_edge_runtime import proof

    return proof.is_sealed(content)


def _update_cards(folder: Path, fingerprint: str, rewritten: tuple[bytes, bytes] | None = None) -> list[Path]:
    """Have a folder's model card name the key, and size and hash of a file that was rewritten; return the cards."""
    from lenet_edge.artefacts.model_card import MARK

    cards = [folder / name for name in CARDS if (folder / name).is_file()]
    cards = [card for card in cards if MARK.encode() in read_bytes(card)]
    for card in cards:
        lines = [line for line in read_text(card).rstrip().split("\n") if not line.startswith(SIGNED_LINE)]
        text = "\n".join(lines).rstrip()
        if rewritten:
            old, new = rewritten
            text = text.replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest())
            text = text.replace(f"| {len(old):,} |", f"| {len(new):,} |")
        atomic.write_text(
            card, f"{text}\n\n{SIGNED_LINE}`{fingerprint}`; `lenet-edge verify --public-key` checks it.\n"
        )
    return cards
