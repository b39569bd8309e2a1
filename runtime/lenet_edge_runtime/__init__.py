"""What runs on the device: an exported ONNX file as a classifier. Needs numpy, onnxruntime and pillow, never torch.

>>> from lenet_edge_runtime import Classifier
>>> Classifier("lenet5-mnist.int8.onnx").predict("digit.png").label  # doctest: +SKIP
'7'
"""

from lenet_edge_runtime.answers import softmax
from lenet_edge_runtime.classifier import Classifier
from lenet_edge_runtime.errors import ImageError, LenetEdgeError, ModelFileError, ProviderError
from lenet_edge_runtime.predictions import Prediction
from lenet_edge_runtime.spec import ModelSpec

__all__ = [
    "Classifier",
    "ImageError",
    "LenetEdgeError",
    "ModelFileError",
    "ModelSpec",
    "Prediction",
    "ProviderError",
    "softmax",
]
