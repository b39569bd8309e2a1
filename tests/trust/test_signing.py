"""Signatures: who made a file, found broken by any change, and refused where another key or nobody signed."""

import json
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from command_line import CommandLine
from lenet_edge.runs.run import Run
from lenet_edge_exporters import manifest
from lenet_edge_runtime import Classifier, proof, signing
from lenet_edge_runtime.errors import GateError, MissingExtraError
from trained_runs import exported

SEALED = ["onnx", "int8", "ort"]


@pytest.fixture
def keys(cli: CommandLine) -> tuple[Path, Path]:
    assert cli("keygen", "mine.pem").exit_code == 0
    assert cli("keygen", "other.pem").exit_code == 0
    return Path("mine.pem"), Path("mine.pem.pub")


def test_keys_are_the_owners_alone_and_never_written_over(keys: tuple[Path, Path], cli: CommandLine) -> None:
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    assert "is there already" in cli.fails("keygen", private)
    private.rename("away.pem")
    assert "is there already" in cli.fails("keygen", private)
    assert Path("away.pem").read_bytes() == before
    assert b"PUBLIC KEY" in public.read_bytes()
    assert json.loads(cli("keygen", "third.pem", "--json").stdout)["fingerprint"].startswith("sha256:")


@pytest.mark.parametrize("format_name", SEALED)
def test_signed_file_stays_one_file_that_proves_itself(
    format_name: str, keys: tuple[Path, Path], cli: CommandLine, digits_run: Run
) -> None:
    private, public = keys
    path = Path(shutil.copy(exported(digits_run, format_name), "."))
    before = Classifier(path)
    assert cli("sign", path, "--key", private).exit_code == 0
    once = path.read_bytes()
    assert cli("sign", path, "--key", private).exit_code == 0
    assert path.read_bytes() == once  # Ed25519 draws nothing, and a signature replaces the one before
    classifier = Classifier(path, public_key=public)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(classifier.logits(pixels), before.logits(pixels))
    assert classifier.prove().passed
    document = json.loads(cli("verify", path, "--public-key", public, "--json").stdout)
    assert document["passed"] is True
    assert document["signatures"] == [{"path": str(path), "fingerprint": classifier.signed_by}]
    if format_name != "ort":  # which info does not read
        assert json.loads(cli("info", path, "--json").stdout)["signed_by"] == classifier.signed_by
        assert classifier.signed_by in cli("info", path).stdout


@pytest.mark.parametrize("format_name", SEALED)
def test_signature_is_ed25519_over_all_before_it(
    format_name: str, keys: tuple[Path, Path], cli: CommandLine, digits_run: Run
) -> None:
    """Checked by the package alone, on bytes cut out by hand."""
    path = Path(shutil.copy(exported(digits_run, format_name), "."))
    cli("sign", path, "--key", keys[0])
    payload, found = signing.split(path.read_bytes())
    assert found is not None
    assert path.read_bytes().startswith(payload)
    key = load_pem_public_key(keys[1].read_bytes())
    key.verify(found.value, b"lenet-edge signature 1\0" + payload)
    with pytest.raises(InvalidSignature):
        key.verify(found.value, payload)


@pytest.mark.parametrize("format_name", SEALED)
def test_any_changed_byte_breaks_a_signature_though_the_file_is_sealed_anew(
    format_name: str, keys: tuple[Path, Path], cli: CommandLine, digits_run: Run
) -> None:
    path = Path(shutil.copy(exported(digits_run, format_name), "."))
    cli("sign", path, "--key", keys[0])
    content = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(content) - 64, 200):
        changed = bytearray(content)
        changed[position] ^= 1
        forged = proof.seal_end(bytes(changed[:-64]))
        with pytest.raises(GateError, match=r"is broken|is not signed|is signed by"):
            signing.check_file(forged, keys[1], "forged")


@pytest.mark.parametrize("format_name", SEALED)
def test_other_key_and_no_signature_are_refused(
    format_name: str, keys: tuple[Path, Path], cli: CommandLine, digits_run: Run
) -> None:
    path = Path(shutil.copy(exported(digits_run, format_name), "."))
    assert "is not signed" in cli.fails("verify", path, "--public-key", keys[1], code=3)
    with pytest.raises(GateError, match="is not signed"):
        Classifier(path, public_key=keys[1])
    cli("sign", path, "--key", "other.pem")
    assert "is signed by another key, sha256:" in cli.fails("verify", path, "--public-key", keys[1], code=3)
    assert cli("verify", path).exit_code == 0
    assert "is no public Ed25519 key" in cli.fails("verify", path, "--public-key", path)
    assert "is no private Ed25519 key" in cli.fails("sign", path, "--key", path)
    assert "give the public one, with .pub" in cli.fails("verify", path, "--public-key", keys[0])
    assert "give the private one, without .pub" in cli.fails("sign", path, "--key", keys[1])


def test_signed_run_is_checked_whole(keys: tuple[Path, Path], cli: CommandLine, digits_run: Run) -> None:
    private, public = keys
    run = Run(Path(shutil.copytree(digits_run.folder, Path("runs") / "lenet5-digits-1")))
    assert "is not signed" in cli.fails("verify", "--run", run.folder, "--public-key", public, code=3)
    said = cli("sign", run.folder, "--key", private).stderr
    assert f"next: lenet-edge verify --run {run.folder} --public-key {public}" in said
    result = cli("verify", "--run", run.folder, "--public-key", public, "--max-drop", "100", "--json")
    assert result.exit_code == 0, result.output
    (signature,) = json.loads(result.stdout)["signatures"]
    assert signature["fingerprint"] in (run.export_folder / "README.md").read_text()
    one = exported(run, "torchscript")
    assert cli("verify", one, "--public-key", public, "--max-drop", "100").exit_code == 0
    for name in ("weights.safetensors", "history.csv"):
        path = run.folder / name
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        assert "is not the file that the manifest lists" in cli.fails(
            "verify", "--run", run.folder, "--public-key", public, code=3
        )
        manifest.add(run.folder, [path])  # as a forger would
        assert "its signature is broken" in cli.fails("verify", "--run", run.folder, "--public-key", public, code=3)
        path.write_bytes(before)
        manifest.add(run.folder, [path])
    assert cli("verify", "--run", run.folder, "--public-key", public, "--max-drop", "100").exit_code == 0


def test_file_of_a_run_is_signed_and_the_runs_manifest_and_card_follow(
    keys: tuple[Path, Path], cli: CommandLine, digits_run: Run
) -> None:
    run = Run(Path(shutil.copytree(digits_run.folder, Path("runs") / "lenet5-digits-1")))
    path = exported(run, "int8")
    assert cli("sign", path, "--key", keys[0]).exit_code == 0
    assert cli("verify", path, "--public-key", keys[1], "--max-drop", "100").exit_code == 0
    from lenet_edge_runtime.sessions import sha256_of

    card = (run.export_folder / "README.md").read_text()
    assert f"{sha256_of(path)}  {path.name}" in card
    assert f"| {path.stat().st_size:,} |" in card


@pytest.mark.parametrize("format_name", ["torchscript", "pt2"])
def test_file_that_carries_no_metadata_has_its_signature_beside_it(
    format_name: str, keys: tuple[Path, Path], cli: CommandLine, digits_run: Run
) -> None:
    path = Path(shutil.copy(exported(digits_run, format_name), "."))
    assert cli("sign", path, "--key", keys[0]).exit_code == 0
    beside = Path(f"{path}.sig")
    assert beside.is_file()
    found = cli("verify", path, "--public-key", keys[1])
    assert "signed by sha256:" in found.stderr
    path.write_bytes(path.read_bytes() + b" ")
    assert "its signature is broken" in cli.fails("verify", path, "--public-key", keys[1], code=3)
    beside.write_text("{}", encoding="utf-8")
    assert "is damaged" in cli.fails("verify", path, "--public-key", keys[1])


def test_missing_package_is_answered_with_what_to_type(
    cli: CommandLine, digits_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lenet-edge\[sign\]'"):
        signing.make_keys()
    assert "pip install 'lenet-edge[sign]'" in cli.fails("keygen")
