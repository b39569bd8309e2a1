"""An exported ONNX or ORT file, or a library built from the C export, as a classifier: image in, label out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime import onnx_file
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.images import ImageSource, Invert, read_image, to_input, to_pixels
from lenet_edge_runtime.proof import Proof, prove
from lenet_edge_runtime.sessions import open_session, read_model
from lenet_edge_runtime.shared_library import LIBRARY_SUFFIXES, SharedLibrary
from lenet_edge_runtime.spec import PREFIX, ModelSpec, input_type_of

TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}  # in onnxruntime's words
_NEXT = "export it with 'lenet-edge export', or, for another tool's classifier, give --labels, --mean and --std"
SPEC_MARK = (PREFIX + "labels").encode()  # stands in every file of ours, ONNX or ORT
LOGITS_BATCH = 256  # images a call in `logits`: large enough to hide the call, small enough for a small machine


@dataclass(frozen=True)
class Prediction:
    """The answer for one image; `probabilities` follow the order of the spec's labels and sum to 1."""

    label: str
    index: int
    probability: float
    probabilities: tuple[float, ...]


class Classifier:
    """An ONNX or ORT file exported by lenet-edge, opened once; `predict` may be called from several threads.

    `lenet.so`, built from the C export, is one too: the same API and, bit for bit, the int8 file's results.

    `spec` is what the file says of itself, `metadata` all of its metadata. Images are given as raw pixels whatever
    the file takes: those for a file with a float32 input are normalised here. Raises ModelFileError for a file that
    is not a model, or carries no spec. A file with our metadata is trusted: it runs in this process, without limits,
    and metadata can be forged. `foreign.ForeignClassifier` is for files that nobody vouches for.
    """

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        self._path = Path(path)
        self.metadata: dict[str, str]
        self._library = SharedLibrary(self._path) if self._path.suffix in LIBRARY_SUFFIXES else None
        if self._library:
            self.metadata, self.spec = self._library.metadata, self._library.spec
            return
        _refuse_foreign(self._path)  # unopened: onnxruntime runs parts of a graph as it opens it
        self._session = open_session(path, threads)
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        try:
            self.spec = ModelSpec.from_metadata(self.metadata)
            self._input_type = input_type_of(self.metadata)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}; {_NEXT}") from None
        self._input = self._session.get_inputs()[0]
        stated = self.spec.input_shape(self._input_type)
        if self._input.type != TYPES[self._input_type] or tuple(self._input.shape[1:]) != stated:
            raise ModelFileError(
                f"{path}: its input is {self._input.type} {self._input.shape}, its metadata says {self._input_type} "
                f"[batch, {', '.join(map(str, stated))}]; export it again"
            )

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run raw pixels, uint8 [n, channels, height, width]; return the logits, float32 [n, classes]."""
        if pixels.dtype != np.uint8 or pixels.shape[1:] != self.spec.pixel_shape:
            raise ValueError(f"expected uint8 [n, {self.spec.pixel_shape}], got {pixels.dtype} {pixels.shape}")
        if self._library:
            return self._library.logits(pixels)
        name = self._input.name
        batches = [pixels[i : i + LOGITS_BATCH] for i in range(0, len(pixels), LOGITS_BATCH)]
        if not batches:
            return np.empty((0, len(self.spec.labels)), np.float32)
        return np.concatenate([self._session.run(["logits"], {name: self._fed(batch)})[0] for batch in batches])

    def prove(self) -> Proof:
        """Check the file's seal and replay its known answers; raise ModelFileError where it carries neither."""
        try:
            return prove(read_model(self._path), self.metadata, self.logits)
        except ModelFileError as error:
            raise ModelFileError(f"{self._path}: {error}") from None

    def bind(self, pixels: NDArray[np.uint8]) -> Callable[[], object]:
        """The bare call on `pixels`, for timing: `session.run` and nothing around it, no normalising either."""
        if self._library:
            return self._library.bind(pixels)
        run, outputs, feed = self._session.run, ["logits"], {self._input.name: self._fed(pixels)}
        return lambda: run(outputs, feed)

    def predict(self, image: ImageSource, invert: Invert = "auto") -> Prediction:
        """Classify one image: a path, a file's bytes, a PIL image or an array (see `images.read_image`)."""
        return self.predict_batch([image], invert)[0]

    def predict_batch(self, images: Sequence[ImageSource], invert: Invert = "auto") -> list[Prediction]:
        """Classify several images in one call; an empty sequence gives an empty list."""
        return classify(images, self.spec, self.logits, invert)

    def _fed(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        return to_input(pixels, self.spec, self._input_type)


def classify(
    images: Sequence[ImageSource],
    spec: ModelSpec,
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    invert: Invert = "auto",
) -> list[Prediction]:
    """Fit images to the input that `spec` describes, run them through `logits` in one call, and name the answers."""
    if not images:
        return []
    pixels = [to_pixels(read_image(image, spec.channels), spec, invert) for image in images]
    return [_prediction(row, spec) for row in softmax(logits(np.stack(pixels)))]


def carries_spec(path: Path) -> bool:
    """Whether a file can carry our metadata, seen from its bytes: nothing of it is run."""
    return SPEC_MARK in read_model(path)


def _refuse_foreign(path: Path) -> None:
    content = read_model(path)
    if SPEC_MARK in content:
        return
    try:
        onnx_file.check_is_model(content)
    except ModelFileError as error:
        raise ModelFileError(f"{path} is {error}") from None
    raise ModelFileError(f"{path} carries no lenet-edge metadata (labels, input size, normalisation); {_NEXT}")


def _prediction(probabilities: NDArray[np.float64], spec: ModelSpec) -> Prediction:
    index = int(probabilities.argmax())
    return Prediction(
        label=spec.labels[index],
        index=index,
        probability=float(probabilities[index]),
        probabilities=tuple(float(value) for value in probabilities),
    )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities, float64 [n, classes], of logits [n, classes]; shifted by the maximum so that none overflows."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
