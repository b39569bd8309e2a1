"""The share of single-bit faults in an int8 ONNX file's weights, biases and scales that its known answers alone find.

    python benchmarks/known_answer_faults.py lenet5-mnist.int8.onnx --faults 500

Each fault flips one random bit of one random byte of one initializer of its kind, and replays
the 16 images in onnxruntime (initializers are drawn by their bytes). A file that onnxruntime refuses is found, too.
"""

import argparse
import random
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from lenet_edge_exporters.known_answers import OnnxLogits
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers

KINDS = {"weights": ("uint8", "int8"), "biases": ("int32",), "scales": ("float32",)}


def main() -> None:
    """Print a row a kind of constant: faults, and how many of them changed a known answer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--faults", type=int, default=500, help="a kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    answers = KnownAnswers.from_json(Classifier(options.file).metadata[KNOWN_ANSWERS])
    model = onnx.load(options.file)
    print("| constants | faults | found |\n|---|---:|---:|")
    for kind, types in KINDS.items():
        draw = random.Random(options.seed)
        found = sum(finds(answers, with_fault(model, types, draw)) for _ in range(options.faults))
        print(f"| {kind} | {options.faults} | {found / options.faults:.1%} |")


def with_fault(model: onnx.ModelProto, types: tuple[str, ...], draw: random.Random) -> bytes:
    """The file's bytes with one bit of its constants of these types flipped."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    tensors = [item for item in changed.graph.initializer if str(numpy_helper.to_array(item).dtype) in types]
    tensor = draw.choices(tensors, [len(item.raw_data) for item in tensors])[0]
    content = bytearray(tensor.raw_data)
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    tensor.raw_data = bytes(content)
    return changed.SerializeToString()


def finds(answers: KnownAnswers, content: bytes) -> bool:
    """Whether a logit differs from the known one, or onnxruntime refuses the file."""
    try:
        logits = OnnxLogits(content).logits(answers.pixels)
    except ModelFileError:
        return True
    return not np.array_equal(logits, answers.logits)


if __name__ == "__main__":
    main()
