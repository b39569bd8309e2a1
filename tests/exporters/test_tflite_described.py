"""What a TFLite file says to Android's and MediaPipe's readers: the image, the labels, and the zip that holds them."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export_jobs import USER_SPEC
from lenet_edge_exporters import ExportJob, export, tflite
from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_exporters.tflite.described import ENTRY, IDENTIFIER, LABEL_FILE
from lenet_edge_runtime import Classifier, proof
from lenet_edge_runtime.tflite_file import schema

pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed: pip install -e '.[litert]'")


@pytest.fixture(scope="module")
def colour() -> ExportJob:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    net(torch.zeros(1, *USER_SPEC.pixel_shape))
    pixels = np.random.default_rng(0).integers(0, 256, (64, *USER_SPEC.pixel_shape), dtype=np.uint8)
    return ExportJob(net.eval(), replace(USER_SPEC, labels=("Kater", "dog", "小鳥")), pixels, pixels)


@pytest.fixture(scope="module")
def sealed(colour: ExportJob, tmp_path_factory: pytest.TempPathFactory) -> Path:
    job = replace(colour, tflite_logits="float32")
    path = tmp_path_factory.mktemp("described") / "net.tflite"
    path.write_bytes(tflite.export(job))
    reference = Classifier(path, verify=False).logits(job.check_pixels)
    return export(job, "tflite", path, reference).path


def test_a_zip_reader_finds_the_labels_and_the_seal_holds(sealed: Path) -> None:
    with zipfile.ZipFile(sealed) as archive:
        (entry,) = archive.infolist()
        assert archive.read(LABEL_FILE).decode().splitlines() == ["Kater", "dog", "小鳥"]
        assert archive.testzip() is None
    assert (entry.date_time[0], entry.compress_type) == (1980, zipfile.ZIP_STORED)
    assert proof.is_sealed(sealed.read_bytes())
    assert Classifier(sealed).prove().passed


def test_androids_reader_finds_the_end_record_in_the_last_22_bytes(sealed: Path) -> None:
    """Its ZipFile.java looks nowhere else; the seal stands before them."""
    content = sealed.read_bytes()
    assert content[-22:-18] == b"PK\5\6"
    assert content[-2:] == b"\0\0"
    assert len(bytes.fromhex(content[-86:-22].decode())) == 32


@pytest.mark.parametrize("place", [-1, -22, -23, -86, -87, -200])
def test_a_changed_byte_of_the_zip_breaks_the_seal(sealed: Path, place: int) -> None:
    content = bytearray(sealed.read_bytes())
    content[place] ^= 1
    assert proof.is_broken(bytes(content))


def test_a_file_sealed_behind_its_end_is_still_sealed() -> None:
    assert proof.is_sealed(proof.seal_end(b"a model" + proof.SEAL.encode()))


def test_description_has_the_schemas_identifier_and_names_the_label_file(sealed: Path) -> None:
    model = schema().ModelT.InitFromPackedBuf(sealed.read_bytes(), 0)
    (buffer,) = (entry.buffer for entry in model.metadata if entry.name == ENTRY.encode())
    description = bytes(model.buffers[buffer].data)
    assert description[4:8] == IDENTIFIER
    assert LABEL_FILE.encode() in description


def test_same_bytes_twice(colour: ExportJob) -> None:
    assert tflite.export(colour) == tflite.export(colour)


def test_labels_of_two_lines_are_refused(colour: ExportJob) -> None:
    job = replace(colour, spec=replace(colour.spec, labels=("cat", "dog\nwolf", "bird")))
    with pytest.raises(UnsupportedError, match=r"'dog\\nwolf' is not one line; give others with --labels"):
        tflite.export(job)


def test_mediapipes_image_classifier_gives_labels_and_logits(sealed: Path, colour: ExportJob) -> None:
    vision = pytest.importorskip("mediapipe.tasks.python.vision", reason="PyPI's mediapipe is not installed")
    from mediapipe import Image, ImageFormat

    pixels = colour.check_pixels[:1]
    image = Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(pixels[0].transpose(1, 2, 0)))
    with vision.ImageClassifier.create_from_model_path(str(sealed)) as classifier:
        (found,) = classifier.classify(image).classifications
    logits = Classifier(sealed).logits(pixels)[0]
    order = np.argsort(-logits)
    assert [item.category_name for item in found.categories] == [colour.spec.labels[index] for index in order]
    assert np.allclose([item.score for item in found.categories], logits[order], rtol=1e-6)
