"""The program in a model card: an exported file run with as little as it needs, to be copied into an app."""

import json

from lenet_edge_runtime.printable import printable
from lenet_edge_runtime.proof import KNOWN_ANSWERS
from lenet_edge_runtime.spec import PREFIX, InputType, ModelSpec

LOADERS = {"torchscript": "torch.jit.load({name})", "pt2": "torch.export.load({name}).module()"}


def program(format_name: str, file_name: str, spec: ModelSpec, input_type: InputType = "uint8") -> list[str]:
    """Lines of Python that print a label and its probability for each image.

    A file with known answers is run on their images, any other on those of `images.npy`.
    """
    if format_name in LOADERS:
        return _with_torch(LOADERS[format_name].format(name=json.dumps(file_name)), spec, input_type)
    return _with_onnxruntime(file_name, spec, input_type)


def _with_onnxruntime(file_name: str, spec: ModelSpec, input_type: InputType) -> list[str]:
    name = "pixels" if input_type == "uint8" else "images"
    return [
        "import base64",
        "import json",
        "import zlib",
        "",
        "import numpy as np",
        "import onnxruntime",
        "",
        f'session = onnxruntime.InferenceSession({json.dumps(file_name)}, providers=["CPUExecutionProvider"])',
        "metadata = session.get_modelmeta().custom_metadata_map",
        f'labels = json.loads(metadata["{PREFIX}labels"])',
        f"# Images that travel in the file, to try it with. Yours: {_layout(spec)}.",
        f'answers = json.loads(metadata["{KNOWN_ANSWERS}"])',
        'content = zlib.decompress(base64.b64decode(answers["pixels"]))',
        'pixels = np.frombuffer(content, np.uint8).reshape(answers["shape"])',
        *_normalisation(spec, input_type),
        f'(probabilities,) = session.run(["probabilities"], {{"{name}": {name}}})',
        "for row in probabilities:",
        '    print(labels[row.argmax()], f"{row.max():.3f}")',
    ]


def _with_torch(loaded: str, spec: ModelSpec, input_type: InputType) -> list[str]:
    return [
        "import numpy as np",
        "import torch",
        "",
        f"labels = {printable(json.dumps(list(spec.labels), ensure_ascii=False))}",
        f"model = {loaded}",
        f'pixels = np.load("images.npy")  # yours: {_layout(spec)}',
        *_normalisation(spec, input_type),
        "with torch.inference_mode():",
        f"    probabilities = model(torch.from_numpy({'pixels' if input_type == 'uint8' else 'images'})).softmax(1)",
        "for row in probabilities:",
        '    print(labels[int(row.argmax())], f"{float(row.max()):.3f}")',
    ]


def _normalisation(spec: ModelSpec, input_type: InputType) -> list[str]:
    if input_type == "uint8":
        return []
    border = (spec.padding, spec.padding)
    return [
        f"padded = np.pad(pixels, ((0, 0), (0, 0), {border}, {border})).astype(np.float32)",
        f"mean, std = (np.float32(values).reshape(1, -1, 1, 1) for values in ({list(spec.mean)}, {list(spec.std)}))",
        "images = (padded / np.float32(255) - mean) / std",
    ]


def _layout(spec: ModelSpec) -> str:
    polarity = "" if spec.polarity == "any" else f", {spec.polarity.replace('-', ' ')}"
    return f"uint8 [{', '.join(map(str, ('batch', *spec.pixel_shape)))}]{polarity}"
