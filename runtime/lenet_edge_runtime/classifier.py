"""An exported ONNX or ORT file as a classifier: image in, label and probabilities out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.images import ImageSource, Invert, read_image, to_input, to_pixels
from lenet_edge_runtime.proof import Proof, prove
from lenet_edge_runtime.sessions import open_session, read_model
from lenet_edge_runtime.spec import ModelSpec, input_type_of

TYPES = {"uint8": "tensor(uint8)", "float32": "tensor(float)"}  # in onnxruntime's words
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

    `spec` is what the file says of itself, `metadata` all of its metadata. Images are given as raw pixels whatever
    the file takes: those for a file with a float32 input are normalised here. Raises ModelFileError for a file that
    is not a model, or carries no spec.
    """

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        self._path = Path(path)
        self._session = open_session(path, threads)
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        try:
            self.spec = ModelSpec.from_metadata(self.metadata)
            self._input_type = input_type_of(self.metadata)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}; export it with 'lenet-edge export'") from None
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
        run, outputs, feed = self._session.run, ["logits"], {self._input.name: self._fed(pixels)}
        return lambda: run(outputs, feed)

    def predict(self, image: ImageSource, invert: Invert = "auto") -> Prediction:
        """Classify one image: a path, a file's bytes, a PIL image or an array (see `images.read_image`)."""
        return self.predict_batch([image], invert)[0]

    def predict_batch(self, images: Sequence[ImageSource], invert: Invert = "auto") -> list[Prediction]:
        """Classify several images in one call; an empty sequence gives an empty list."""
        if not images:
            return []
        pixels = [to_pixels(read_image(image, self.spec.channels), self.spec, invert) for image in images]
        return [self._prediction(row) for row in softmax(self.logits(np.stack(pixels)))]

    def _fed(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | NDArray[np.float32]:
        return to_input(pixels, self.spec, self._input_type)

    def _prediction(self, probabilities: NDArray[np.float64]) -> Prediction:
        index = int(probabilities.argmax())
        return Prediction(
            label=self.spec.labels[index],
            index=index,
            probability=float(probabilities[index]),
            probabilities=tuple(float(value) for value in probabilities),
        )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities, float64 [n, classes], of logits [n, classes]; shifted by the maximum so that none overflows."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
