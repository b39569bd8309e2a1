"""Optional packages: that one is missing is said before a minute is spent or a file is written."""

from importlib.util import find_spec

from lenet_edge_runtime.errors import MissingExtraError

# The packages of each extra, as they are imported.
EXTRAS = {
    "train": (
        "filelock", "flatbuffers", "matplotlib", "onnx", "onnxscript", "safetensors", "sklearn", "scipy", "torch",
        "torchvision",
    ),
    "sign": ("cryptography",),
    "sbom": ("cyclonedx",),
    "hf": ("datasets",),
    "litert": ("ai_edge_litert",),
    "cluster": ("distributed",),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow",),
}  # fmt: skip
RARELY = ("torchvision", "flatbuffers")  # wanted for a download, or for a .tflite file, and said there


def require(extra: str, purpose: str) -> None:
    """Raise MissingExtraError where a package of the extra is not installed; none is imported for this."""
    for package in EXTRAS[extra]:
        if package not in RARELY and find_spec(package) is None:
            raise MissingExtraError(
                f"{purpose} needs {package}, which is not installed; type: pip install 'lenet-edge[{extra}]'"
            )
