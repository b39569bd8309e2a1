"""An exported file, or a library built from the C export, as a classifier: image in, label and probabilities out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime import onnx_file, proof, signing
from lenet_edge_runtime.engines import Closed, Engine, Images, open_engine
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.fitting import FitPolicy, Invert
from lenet_edge_runtime.images import ImageSource, to_input
from lenet_edge_runtime.predictions import ImageBatch, Located, Prediction, classify, classify_parts
from lenet_edge_runtime.pretrained_files import pretrained_file, pretrained_name
from lenet_edge_runtime.sessions import read_model
from lenet_edge_runtime.shared_library import is_library
from lenet_edge_runtime.spec import PREFIX, ModelSpec, check_outputs, check_pixels, input_type_of

_NEXT = "export it with 'lenet-edge export', or, for another tool's classifier, give --labels, --mean and --std"
SPEC_MARK = (PREFIX + "labels").encode()  # stands in every file of ours, ONNX or ORT
LOGITS_BATCH = 256  # images a call in `logits`: large enough to hide the call, small enough for a small machine


class Classifier:
    """An ONNX or ORT file exported by lenet-edge, opened once; it may be shared by threads.

    `Classifier("mnist")` is the network that comes with the package.

    `threads` is how many onnxruntime uses for one call, at most this machine's processors (they do not spin between
    calls), `provider` what runs the whole of the model: "cpu", or in other builds of onnxruntime "cuda", "coreml",
    "openvino" and so on. `close()` gives its memory back, and so does `with Classifier(...) as classifier`. It cannot
    be pickled: another process opens the file itself.

    With `verify` the file proves itself as it is loaded: its bytes are compared with its seal before any of them is
    given to onnxruntime, and its known answers are replayed. That took 0.5 to 0.8 ms of the 1.2 to 2.3 ms that a
    LeNet-5 takes to load (AMD EPYC, onnxruntime 1.31.1, medians of 30). Without it, a damaged file gives wrong
    answers or ends the process: one flipped byte of a weight loads silently.

    With `public_key` (a file that `lenet-edge keygen` wrote) the file has to be signed by that key before any of it is
    opened; `signed_by` is then the key's fingerprint. GateError says that it is not.

    `lenet.so`, built from the C export, is one too: the same API and, bit for bit, the int8 file's results. A library
    is code: opening one runs whatever its maker wrote into it, so open only those that you built. It has no seal and no
    signature, for it was made where it is; its known answers are replayed.

    `spec` is what the file says of itself, `metadata` all of its metadata. Images are given as raw pixels whatever
    the file takes: those for a file with a float32 input are normalised here. A file with our metadata is trusted: it
    runs in this process, without limits, and metadata and seals can be forged. `foreign.ForeignClassifier` is for
    files that nobody vouches for.

    Raises ModelFileError for a file that is not a model, carries no spec, or fails its own check, ProviderError for a
    provider that this onnxruntime has not, or that does not run all of the model, and ArgumentError for `threads`.
    """

    def __init__(
        self,
        path: Path | str,
        threads: int = 1,
        provider: str = "cpu",
        verify: bool = True,
        public_key: Path | str | None = None,
    ) -> None:
        name = pretrained_name(path)
        self._path = Path(path) if name is None else pretrained_file(name)
        content = read_model(self._path)
        path = self._path
        _refuse_foreign(self._path, content)  # unopened: onnxruntime runs parts of a graph as it opens it
        self.signed_by = None if public_key is None else signing.check_file(content, public_key, str(path))
        if verify and not is_library(self._path):
            proof.check_seal(content, str(path))
        self._engine: Engine = open_engine(content, str(path), threads, provider)
        self.metadata = self._engine.metadata
        try:
            self.spec = ModelSpec.from_metadata(self.metadata)
            self._input_type = input_type_of(self.metadata)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}; {_NEXT}") from None
        stated = (self._input_type, self.spec.input_shape(self._input_type))
        if self._engine.input != stated:
            raise ModelFileError(
                f"{path}: its input is {_described(*self._engine.input)}, its metadata says {_described(*stated)}; "
                f"export it again"
            )
        if isinstance(self._engine.outputs, int):
            check_outputs(self._engine.outputs, self.spec, str(path))
        if verify:
            self._check_answers()

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run raw pixels, uint8 [n, channels, height, width]; return the logits, float32 [n, classes]."""
        check_pixels(pixels, self.spec)
        batches = [pixels[i : i + LOGITS_BATCH] for i in range(0, len(pixels), LOGITS_BATCH)]
        if not batches:
            return np.empty((0, len(self.spec.labels)), np.float32)
        found = np.concatenate([self._engine.run(self._fed(batch)) for batch in batches])
        check_outputs(found.shape[1], self.spec, str(self._path))
        return found

    def close(self) -> None:
        """Give back what the model takes: its session and weights. Calls after that raise ModelFileError."""
        self._engine = Closed(str(self._path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a Classifier holds an opened session and cannot be pickled or copied: give the other process the path, "
            f"{self._path}, and open it there"
        )

    def prove(self) -> proof.Proof:
        """Check the file's seal and replay its known answers; raise ModelFileError where it carries neither."""
        try:
            return proof.prove(read_model(self._path), self.metadata, self.logits)
        except ModelFileError as error:
            raise ModelFileError(f"{self._path}: {error}") from None

    def bind(self, pixels: NDArray[np.uint8]) -> Callable[[], object]:
        """The bare call on `pixels`, for timing: `session.run` and nothing around it, no normalising either."""
        return self._engine.bind(self._fed(pixels))

    def predict(self, image: ImageSource, invert: Invert = "auto", fit: FitPolicy = "auto") -> Prediction:
        """Classify one image: a path, a file's bytes, a PIL image or an array.

        Arrays are H x W or H x W x C, uint8 0..255 or float 0..1, of any size (`images.read_image`). `invert`: True,
        False, or "auto" by the image's border. `fit`: how an image gets the input's size, "mnist" (its ink centred and
        scaled as MNIST's is), "resize" (the whole of it), or "auto", as the file says (`fitting.py`).
        Raises ImageError for what is no image, and ValueError for another `invert` or `fit`.
        """
        return self.predict_batch([image], invert, fit)[0]

    def predict_batch(self, images: ImageBatch, invert: Invert = "auto", fit: FitPolicy = "auto") -> list[Prediction]:
        """Classify several images in one call: a sequence of what `predict` takes, or one array of them.

        That is n x H x W or n x H x W x C, uint8 or float. No images give an empty list.
        """
        return classify(images, self.spec, self.logits, invert, fit)

    def split(self, image: ImageSource, invert: Invert = "auto", fit: FitPolicy = "auto") -> list[Located]:
        """Cut a picture into its digits and classify each: predictions with a `box`, in the order of reading.

        Lines from top to bottom, each from left to right; none for a picture without ink. Digits that touch come out
        as one (`splitting.py`). Takes and raises what `predict` does; ValueError for a classifier of colour images.
        """
        return classify_parts(image, self.spec, self.logits, invert, fit)

    def _check_answers(self) -> None:
        answers = proof.known_answers(self.metadata, str(self._path))
        check_outputs(answers.logits.shape[1], self.spec, str(self._path))
        difference = answers.greatest_difference(self.logits)
        if difference > answers.tolerance:
            raise ModelFileError(
                f"{self._path} gives other answers here than when it was exported: its logits differ by up to "
                f"{difference:.2g}, at most {answers.tolerance:.2g} is allowed; see 'lenet-edge verify {self._path}'"
            )

    def _fed(self, pixels: NDArray[np.uint8]) -> Images:
        return to_input(pixels, self.spec, self._input_type)


def carries_spec(path: Path) -> bool:
    """Whether a file can carry our metadata, seen from its bytes: nothing of it is run."""
    return SPEC_MARK in read_model(path)


def _refuse_foreign(path: Path, content: bytes) -> None:
    if SPEC_MARK in content:
        return
    if is_library(path):
        raise ModelFileError(f"{path} is no library of the C export; build one by 'make' in its folder")
    try:
        onnx_file.check_is_model(content)
    except ModelFileError as error:
        raise ModelFileError(f"{path} is {error}") from None
    raise ModelFileError(f"{path} carries no lenet-edge metadata (labels, input size, normalisation); {_NEXT}")


def _described(dtype: str, shape: Sequence[object]) -> str:
    return f"{dtype} [batch, {', '.join(map(str, shape))}]"
