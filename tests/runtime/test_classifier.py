"""The classifier that apps embed: what it takes, what it gives, what runs it, and what it refuses."""

import dataclasses
import importlib.resources
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge_runtime import Classifier, ImageError, LenetEdgeError, ModelFileError, ProviderError, proof, sessions
from trained_runs import exported


@pytest.fixture(scope="module")
def classifier(digits_run: Run) -> Classifier:
    return Classifier(exported(digits_run, "int8"))


def test_an_array_of_images_is_a_batch(classifier: Classifier, digits: ImageData) -> None:
    grey = digits.test_pixels[:20, 0]
    one_by_one = [classifier.predict(image) for image in grey]
    assert classifier.predict_batch(grey) == one_by_one  # n x H x W
    assert classifier.predict_batch(grey[..., None]) == one_by_one
    assert classifier.predict_batch(np.repeat(grey[..., None], 3, axis=3)) == one_by_one  # n x H x W x 3
    assert classifier.predict_batch(grey / 255) == one_by_one
    assert classifier.predict_batch(list(grey)) == one_by_one
    assert [item.index for item in one_by_one] == list(classifier.logits(digits.test_pixels[:20]).argmax(1))


def test_no_images_give_no_answers(classifier: Classifier) -> None:
    assert classifier.predict_batch([]) == []
    assert classifier.predict_batch(np.zeros((0, 28, 28), np.uint8)) == []


@pytest.mark.parametrize("shape", [(28, 28), (2, 3, 1, 28, 28), (2, 1, 28, 28)], ids=["one image", "5-d", "NCHW"])
def test_arrays_that_are_no_batch_are_refused(shape: tuple[int, ...], classifier: Classifier) -> None:
    with pytest.raises(ImageError, match="shape"):
        classifier.predict_batch(np.zeros(shape, np.uint8))


def test_things_that_are_no_image_are_refused(classifier: Classifier) -> None:
    with pytest.raises(ImageError, match=r"a path, a file's bytes, a PIL image or a NumPy array, got <class 'int'>"):
        classifier.predict(7)  # type: ignore[arg-type]


def test_prediction_says_what_was_done(classifier: Classifier, digits: ImageData) -> None:
    image = digits.test_pixels[0, 0]
    plain, ink = classifier.predict(image), classifier.predict(255 - image)
    assert (plain.inverted, ink.inverted) == (False, True)
    assert dataclasses.replace(ink, inverted=False) == plain
    forced = classifier.predict(255 - image, invert=False)
    assert forced.inverted is False
    assert forced.probabilities != plain.probabilities
    with pytest.raises(dataclasses.FrozenInstanceError):
        plain.label = "8"  # type: ignore[misc]
    assert sum(plain.probabilities) == pytest.approx(1)
    assert plain.probability == plain.probabilities[plain.index]
    assert classifier.spec.labels[plain.index] == plain.label


# --- verifying -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["onnx", "int8", "ort"])
def test_every_file_of_ours_proves_itself(format_name: str, digits_run: Run) -> None:
    found = Classifier(exported(digits_run, format_name)).prove()
    assert found.passed
    assert found.known_answers == 16
    assert found.card is not None


@pytest.mark.parametrize("format_name", ["onnx", "ort"])
def test_flipped_bits_are_found_before_the_file_is_opened(format_name: str, digits_run: Run, tmp_path: Path) -> None:
    content = exported(digits_run, format_name).read_bytes()
    path = tmp_path / f"net.{format_name}"
    for position in np.random.default_rng(0).integers(0, len(content), 100):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ModelFileError, match=r"copy it again, or export it again|no seal|no lenet-edge metadata"):
            Classifier(path)


def test_other_answers_than_known_are_refused(digits_run: Run, tmp_path: Path) -> None:
    """As on a CPU or in a build that computes something else: here, with answers that were never given."""
    content = exported(digits_run, "int8").read_bytes()
    metadata = Classifier(exported(digits_run, "int8")).metadata
    answers = proof.known_answers(metadata, "")
    wrong = dataclasses.replace(answers, logits=answers.logits + np.float32(0.25))
    path = tmp_path / "net.onnx"
    path.write_bytes(proof.seal(content, {proof.KNOWN_ANSWERS: wrong.to_json()}))
    with pytest.raises(
        ModelFileError, match=r"its logits differ by up to 0.25, at most 0 is allowed; see 'lenet-edge ver"
    ):
        Classifier(path)
    assert Classifier(path, verify=False).spec.labels == tuple("0123456789")


def test_a_file_without_evidence_is_opened_only_when_told_to(digits_run: Run, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(exported(digits_run, "onnx"))
    kept = [item for item in model.metadata_props if item.key not in (proof.SEAL, proof.KNOWN_ANSWERS)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(ModelFileError, match=r"no seal and no known answers; export it again .* verify=False"):
        Classifier(tmp_path / "net.onnx")
    unproven = Classifier(tmp_path / "net.onnx", verify=False)
    with pytest.raises(ModelFileError, match="no seal and no known answers"):
        unproven.prove()


# --- what runs it --------------------------------------------------------------------------------------------------


def test_provider_that_onnxruntime_has_not(digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider", "XnnpackExecutionProvider"]
    )
    with pytest.raises(ProviderError, match=r"has no provider 'cuda', it has cpu, xnnpack; install the build"):
        Classifier(exported(digits_run, "int8"), provider="cuda")
    assert issubclass(ProviderError, LenetEdgeError)


def test_provider_that_would_leave_the_work_to_the_cpu(digits_run: Run) -> None:
    """PyPI's onnxruntime brings "azure", which runs nothing of ours: left alone, onnxruntime would not say so."""
    import onnxruntime

    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this build of onnxruntime has no provider but the CPU's")
    with pytest.raises(ProviderError, match=r"azure cannot run all of .*int8\.onnx .*; use provider cpu"):
        Classifier(exported(digits_run, "int8"), provider="azure")


def test_provider_that_did_not_start(digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CUDA's does without a driver: onnxruntime then opens the session on the CPU."""
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: ["CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime.InferenceSession, "__init__", lambda *_, **__: None)
    with pytest.raises(ProviderError, match="has the provider cuda, but it did not start"):
        Classifier(exported(digits_run, "int8"), provider="cuda")


def test_threads_are_explicit_and_do_not_spin(digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    seen = []
    original = onnxruntime.InferenceSession

    def spy(content: bytes, options: object, **rest: object) -> object:
        seen.append(options)
        return original(content, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", spy)
    Classifier(exported(digits_run, "int8"))
    Classifier(exported(digits_run, "int8"), threads=2)
    assert [(options.intra_op_num_threads, options.inter_op_num_threads) for options in seen] == [(1, 1), (2, 1)]
    for options in seen:
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    with pytest.raises(ValueError, match="threads is a whole number from 1 to"):
        sessions.open_session(exported(digits_run, "int8"), 0)


def test_an_idle_session_uses_no_processor(digits_run: Run, digits: ImageData) -> None:
    """Threads that spin between calls keep a core busy: processor time while nothing is asked is next to none."""
    import time

    classifier = Classifier(exported(digits_run, "onnx"), threads=2)
    classifier.logits(digits.test_pixels[:64])
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_the_package_is_typed() -> None:
    assert importlib.resources.files("lenet_edge_runtime").joinpath("py.typed").is_file()


def test_images_of_every_kind_give_one_answer(classifier: Classifier, digits: ImageData, tmp_path: Path) -> None:
    pixels = digits.test_pixels[0, 0]
    image = Image.fromarray(pixels)
    image.save(tmp_path / "digit.png")
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    rgba = np.dstack([np.full((28, 28, 3), 255, np.uint8), pixels])
    sources = [
        tmp_path / "digit.png",
        str(tmp_path / "digit.png"),
        buffer.getvalue(),
        image,
        pixels,
        pixels / 255,
        rgba,
    ]
    assert len(set(classifier.predict_batch(sources))) == 1
