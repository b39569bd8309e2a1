"""The backends that peers.py sets side by side: how each gets the network, and its bare call.

Every backend is given what the ONNX file has: raw pixels as input, and normalisation folded into the first
convolution. Each is called as its documentation calls it ("run": an image in, an array out) and, where it has that,
with the image in its place beforehand ("bound").
"""

import contextlib
import copy
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lenet_edge.datasets import ImageData
from lenet_edge.reference import load_net
from lenet_edge.runs import Run
from lenet_edge_exporters.pixels import deployable
from lenet_edge_runtime import Classifier, ModelSpec
from lenet_edge_runtime.io_binding import bind_io
from lenet_edge_runtime.latency import Opener
from lenet_edge_runtime.sessions import open_session

Images = NDArray[np.uint8]
Logits = NDArray[np.float32]
CALIBRATION_IMAGES = 512  # of the training split, as for our int8 file

OURS = "onnxruntime"
PYTORCH = "PyTorch eager"


@dataclass(frozen=True)
class Contender:
    """A model on a backend. `open` gives a fresh session's bare call on one image, uint8 [1, 1, h, w].

    `logits` answers images, uint8 [n, 1, h, w], after the timing. `empty` is the same call of a net that does
    nothing: what a call costs by itself.
    """

    backend: str
    precision: str  # "float32" or "int8"
    call: str  # "run" or "bound"
    open: Opener
    logits: Callable[[Images], Logits]
    empty: Opener

    @property
    def name(self) -> str:
        """Unique among the contenders of a measurement."""
        return f"{self.backend}, {self.precision}, {self.call}"


@dataclass(frozen=True)
class Subject:
    """The run that all backends get, its exported files, its data, the timed image, and a folder to convert in."""

    run: Run
    float32: Path
    int8: Path
    torchscript: Path
    data: ImageData
    image: Images
    folder: Path

    @property
    def spec(self) -> ModelSpec:
        """What the run says of its input."""
        return self.run.read().spec

    @property
    def net(self) -> nn.Module:
        """The run's network, in evaluation mode."""
        return load_net(self.run, self.run.read())


class Folded(nn.Module):
    """The network with its normalisation folded into the first convolution: raw pixels in, any number type."""

    def __init__(self, net: nn.Module, spec: ModelSpec) -> None:
        super().__init__()
        self.net, self.padding = copy.deepcopy(net).eval().requires_grad_(False), spec.padding
        convolution = next(module for module in self.net.modules() if isinstance(module, nn.Conv2d))
        mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
        shift = (convolution.weight * (-mean / std)[:, None, None]).sum((1, 2, 3))
        bias = torch.zeros(len(shift)) if convolution.bias is None else convolution.bias
        convolution.bias = nn.Parameter(bias + shift, requires_grad=False)
        convolution.weight = nn.Parameter(convolution.weight / (255 * std)[:, None, None], requires_grad=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """uint8 or float [n, c, h, w] to logits [n, classes]."""
        logits: Tensor = self.net(F.pad(pixels.float(), (self.padding,) * 4))
        return logits


class Nothing(nn.Module):
    """The net that does nothing but hand its input on, flat."""

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, c, h, w] to [n, c h w]."""
        return pixels.flatten(1)


def onnxruntime_contenders(subject: Subject) -> list[Contender]:
    """Our two files, by `session.run` and with input and output bound."""
    empty = subject.folder / "nothing.onnx"
    empty.write_bytes(_empty_onnx(subject.image.shape))
    found = []
    for precision, path in (("float32", subject.float32), ("int8", subject.int8)):
        logits = Classifier(path).logits
        run = Contender(
            OURS, precision, "run", lambda p=path: Classifier(p, verify=False).bind(subject.image), logits,
            lambda: _onnx_call(empty, subject.image),
        )  # fmt: skip
        bound = Contender(
            OURS, precision, "bound", lambda p=path: bind_io(p, subject.image), logits,
            lambda: _onnx_bound_call(empty, subject.image),
        )  # fmt: skip
        found += [run, bound]
    return found


def torch_contenders(subject: Subject) -> list[Contender]:
    """PyTorch eager and TorchScript, called on a tensor made beforehand."""
    spec, pixels = subject.spec, torch.tensor(subject.image)

    def scripted(module: nn.Module) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            return torch.jit.freeze(torch.jit.trace(module.eval(), pixels))  # type: ignore[no-untyped-call]

    def eager() -> Callable[[], object]:
        return _torch_call(deployable(subject.net, spec), pixels)

    def loaded() -> Callable[[], object]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _torch_call(torch.jit.load(subject.torchscript), pixels)  # type: ignore[no-untyped-call]

    model = deployable(subject.net, spec)
    return [
        Contender(PYTORCH, "float32", "run", eager, _torch_logits(model), lambda: _torch_call(Nothing(), pixels)),
        Contender(
            "TorchScript", "float32", "run", loaded, _torch_logits(scripted(model)),
            lambda: _torch_call(scripted(Nothing()), pixels),
        ),
    ]  # fmt: skip


def compile_contenders(subject: Subject) -> list[Contender]:
    """torch.compile with its default backend; compiled anew each round, from its cache on disk after the first."""
    pixels = torch.tensor(subject.image)

    def compiled(module: nn.Module) -> Any:
        torch.compiler.reset()
        return torch.compile(module)

    def warm(module: nn.Module) -> Callable[[], object]:
        call = _torch_call(compiled(module), pixels)
        call()
        return call

    def model() -> nn.Module:
        return deployable(subject.net, subject.spec)

    def logits(images: Images) -> Logits:
        return _torch_logits(compiled(model()))(images)

    return [Contender("torch.compile", "float32", "run", lambda: warm(model()), logits, lambda: warm(Nothing()))]


def openvino_contenders(subject: Subject) -> list[Contender]:
    """OpenVINO on our two files, one stream of one thread, in full float32."""
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip

    def request(path: Path) -> Any:
        model = core.read_model(path)
        model.reshape(list(subject.image.shape))
        return core.compile_model(model, "CPU", settings).create_infer_request()

    def run(path: Path) -> Callable[[], object]:
        infer = request(path).infer
        return lambda: infer({0: subject.image}, share_inputs=True, share_outputs=True)

    def bound(path: Path) -> Callable[[], object]:
        opened = request(path)
        opened.set_input_tensor(openvino.Tensor(subject.image, shared_memory=True))
        return lambda: opened.infer()

    def logits(path: Path) -> Callable[[Images], Logits]:
        opened = request(path)
        return lambda images: _one_by_one(lambda image: opened.infer({0: image})[0], images)

    empty = subject.folder / "nothing-openvino.onnx"
    empty.write_bytes(_empty_onnx(subject.image.shape))
    return [
        Contender(
            "OpenVINO", precision, call, lambda p=path, o=open_: o(p), logits(path), lambda o=open_: o(empty)
        )
        for precision, path in (("float32", subject.float32), ("int8", subject.int8))
        for call, open_ in (("run", run), ("bound", bound))
    ]  # fmt: skip


def ncnn_contenders(subject: Subject) -> list[Contender]:
    """ncnn by way of pnnx, in full float32. It has no int8 from PyPI: its quantizer is not in the package."""
    import ncnn
    import pnnx

    example = torch.zeros(subject.image.shape)
    with contextlib.chdir(subject.folder), contextlib.redirect_stdout(sys.stderr):
        pnnx.export(Folded(subject.net, subject.spec), "lenet.pt", example, fp16=False)
    empty = subject.folder / "nothing.ncnn.param"
    empty.write_text("7767517\n2 2\nInput in0 0 1 in0\nNoop nothing 1 1 in0 out0\n")
    height, width = subject.image.shape[2:]

    def net(empty_net: bool) -> Any:
        opened = ncnn.Net()
        opened.opt.num_threads = 1
        opened.opt.use_fp16_packed = opened.opt.use_fp16_storage = opened.opt.use_fp16_arithmetic = False
        opened.opt.use_bf16_storage = False
        opened.load_param(str(empty if empty_net else subject.folder / "lenet.ncnn.param"))
        if not empty_net:
            opened.load_model(str(subject.folder / "lenet.ncnn.bin"))
        return opened

    def answer(opened: Any, image: Images) -> Any:
        extractor = opened.create_extractor()
        extractor.input("in0", ncnn.Mat.from_pixels(image, ncnn.Mat.PixelType.PIXEL_GRAY, width, height))
        return np.array(extractor.extract("out0")[1])

    def caller(empty_net: bool) -> Opener:
        def load() -> Callable[[], object]:
            opened, plane = net(empty_net), np.ascontiguousarray(subject.image[0, 0])
            return lambda: answer(opened, plane)

        return load

    def logits(images: Images) -> Logits:
        opened = net(False)
        return np.stack([answer(opened, np.ascontiguousarray(image[0])) for image in images])

    return [Contender("ncnn", "float32", "run", caller(False), logits, caller(True))]


def litert_contenders(subject: Subject) -> list[Contender]:
    """LiteRT (formerly TensorFlow Lite) with XNNPACK, float32 by litert-torch, int8 by ai-edge-quantizer."""
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter

    paths = {name: subject.folder / f"{name}.tflite" for name in ("float32", "real", "int8", "nothing")}
    pixels = torch.zeros(subject.image.shape, dtype=torch.uint8)
    folded = Folded(subject.net, subject.spec)
    for name, module, example in (
        ("float32", folded, pixels), ("real", folded, pixels.float()), ("nothing", Nothing(), pixels),
    ):  # fmt: skip
        with contextlib.redirect_stdout(sys.stderr):
            litert_torch.convert(module.eval(), (example,)).export(str(paths[name]))
    _quantize(subject, paths["real"], paths["int8"])

    def open_(name: str) -> tuple[Any, int, int]:
        interpreter = Interpreter(str(paths[name]), num_threads=1)
        interpreter.allocate_tensors()
        return (
            interpreter, interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
        )  # fmt: skip

    def caller(name: str, call: str) -> Opener:
        def load() -> Callable[[], object]:
            interpreter, given, wanted = open_(name)
            fed = _quantized(subject.image, interpreter.get_input_details()[0])
            interpreter.set_tensor(given, fed)

            def run() -> object:
                interpreter.set_tensor(given, fed)
                interpreter.invoke()
                return interpreter.get_tensor(wanted)

            return run if call == "run" else interpreter.invoke

        return load

    def logits(name: str) -> Callable[[Images], Logits]:
        interpreter, given, wanted = open_(name)
        details, answered = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

        def answer(image: Images) -> Any:
            interpreter.set_tensor(given, _quantized(image, details))
            interpreter.invoke()
            return _dequantized(interpreter.get_tensor(wanted), answered)

        return lambda images: _one_by_one(answer, images)

    return [
        Contender("LiteRT", name, call, caller(name, call), logits(name), caller("nothing", call))
        for name in ("float32", "int8")
        for call in ("run", "bound")
    ]


# Name of `--peers`: the packages it needs, and what gives its contenders.
PEERS: dict[str, tuple[Sequence[str], Callable[[Subject], list[Contender]]]] = {
    "torch.compile": ((), compile_contenders),
    "openvino": (("openvino",), openvino_contenders),
    "ncnn": (("ncnn", "pnnx"), ncnn_contenders),
    "litert": (("litert_torch", "ai_edge_litert", "ai_edge_quantizer"), litert_contenders),
}


def missing_packages(peer: str) -> list[str]:
    """The packages of a peer that are not installed."""
    return [name for name in PEERS[peer][0] if find_spec(name) is None]


def _torch_call(module: Any, pixels: Tensor) -> Callable[[], object]:
    torch.set_num_threads(1)

    def call() -> object:
        with torch.inference_mode():
            return module(pixels)

    return call


def _torch_logits(module: Any) -> Callable[[Images], Logits]:
    def logits(images: Images) -> Logits:
        with torch.inference_mode():
            return np.concatenate([module(torch.tensor(image[None])).numpy() for image in images])

    return logits


def _empty_onnx(shape: tuple[int, ...]) -> bytes:
    """A graph that hands its uint8 input on."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, shape) for name in ("pixels", "logits")]
    graph = helper.make_graph([helper.make_node("Identity", ["pixels"], ["logits"])], "nothing", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def _onnx_call(path: Path, image: Images) -> Callable[[], object]:
    run = open_session(path).run
    return lambda: run(["logits"], {"pixels": image})


def _onnx_bound_call(path: Path, image: Images) -> Callable[[], object]:
    import onnxruntime

    session = open_session(path)
    binding = session.io_binding()
    binding.bind_ortvalue_input("pixels", onnxruntime.OrtValue.ortvalue_from_numpy(image))
    binding.bind_output("logits", "cpu")
    return lambda: session.run_with_iobinding(binding)


def _one_by_one(answer: Callable[[Images], Any], images: Images) -> Logits:
    return np.concatenate([np.array(answer(images[i : i + 1])) for i in range(len(images))])


def _quantize(subject: Subject, source: Path, target: Path) -> None:
    """Write `source` in int8, calibrated on training images."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    ((signature, ends),) = Interpreter(str(source)).get_signature_list().items()
    images = subject.data.train_pixels[:CALIBRATION_IMAGES].astype(np.float32)
    with contextlib.redirect_stdout(sys.stderr):
        maker = quantizer.Quantizer(str(source))
        maker.load_quantization_recipe(recipe.static_wi8_ai8())
        ranges = maker.calibrate({signature: [{ends["inputs"][0]: image[None]} for image in images]})
        maker.quantize(ranges).export_model(str(target), overwrite=True)


def _quantized(image: Images, details: dict[str, Any]) -> NDArray[Any]:
    """An image as an interpreter's input takes it: uint8 as it is, int8 by its scale and zero point."""
    if details["dtype"] == np.uint8:
        return image
    scale, zero = details["quantization"]
    return np.clip(np.rint(image / scale) + zero, -128, 127).astype(np.int8)


def _dequantized(values: NDArray[Any], details: dict[str, Any]) -> NDArray[Any]:
    if values.dtype == np.float32:
        return values
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale)
