"""How many int8 logits of a TFLite file other kernels give otherwise than LiteRT with XNNPACK, on all test images.

    python benchmarks/tflite_kernels.py FILE.tflite...

TensorFlow Lite Micro has a row where PyPI's tflite-micro is installed. The table is in docs/tflite.md.
"""

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lenet_edge.data.datasets import load_dataset
from lenet_edge_runtime import ModelSpec
from lenet_edge_runtime.tflite_file import metadata_of

Kernels = Callable[
    [Path, np.ndarray], np.ndarray
]  # file and images [n, h, w, c] to codes of the logits, int8 [n, classes]
HEAD = "| file | kernels | logits that differ | of | by at most | classes that differ | right |"


def main() -> None:
    """Print a row for each file and kernel."""
    parser = argparse.ArgumentParser(description="Codes of other kernels beside XNNPACK's, as a Markdown table.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="int8 .tflite files")
    parser.add_argument("--data-dir", type=Path, help="folder with the data, as for lenet-edge verify")
    arguments = parser.parse_args(sys.argv[1:])
    print(HEAD + "\n|---|---|---:|---:|---:|---:|---:|")
    for path in arguments.files:
        metadata = metadata_of(path.read_bytes())
        data = load_dataset(json.loads(metadata["lenet_edge.dataset"]), arguments.data_dir)
        assert data.test_pixels.shape[1:] == ModelSpec.from_metadata(metadata).pixel_shape
        images = np.ascontiguousarray(np.moveaxis(data.test_pixels, 1, 3))
        expected = by_litert("AUTO")(path, images).astype(int)
        for name, kernels in KERNELS.items():
            found = kernels(path, images).astype(int)
            steps = np.abs(found - expected)
            other = (found.argmax(1) != expected.argmax(1)).sum()
            right = 100 * (found.argmax(1) == data.test_labels).mean()
            cells = [path.name, name, f"{(steps > 0).sum():,}", f"{steps.size:,}", steps.max(), other, f"{right:.2f} %"]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def by_litert(resolver: str) -> Kernels:
    """LiteRT's interpreter with one of its sets of kernels, 1,000 images at a time."""

    def run(path: Path, images: np.ndarray) -> np.ndarray:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(str(path), experimental_op_resolver_type=getattr(OpResolverType, resolver))
        source, target = (
            details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
        )
        found = []
        for first in range(0, len(images), 1000):
            some = images[first : first + 1000]
            interpreter.resize_tensor_input(source, some.shape)
            interpreter.allocate_tensors()
            interpreter.set_tensor(source, some)
            interpreter.invoke()
            found.append(interpreter.get_tensor(target).copy())
        return np.concatenate(found)

    return run


def by_tflite_micro(path: Path, images: np.ndarray) -> np.ndarray:
    """TensorFlow Lite Micro, image by image."""
    from tflite_micro import runtime

    interpreter, found = runtime.Interpreter.from_file(str(path)), []
    for image in images:
        interpreter.set_input(image[None], 0)
        interpreter.invoke()
        found.append(interpreter.get_output(0)[0].copy())
    return np.array(found)


KERNELS: dict[str, Kernels] = {
    "LiteRT's reference kernels": by_litert("BUILTIN_REF"),
    "LiteRT's own, without XNNPACK": by_litert("BUILTIN_WITHOUT_DEFAULT_DELEGATES"),
}
if importlib.util.find_spec("tflite_micro"):
    KERNELS["TensorFlow Lite Micro"] = by_tflite_micro

if __name__ == "__main__":
    main()
