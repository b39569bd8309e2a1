"""The peers that peers.py sets beside ours: OpenVINO, ncnn, LiteRT and TFLM, each given what the ONNX file has."""

import contextlib
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from backends import (
    Contender,
    Folded,
    Images,
    Logits,
    Nothing,
    Subject,
    c_contenders,
    compile_contenders,
    empty_onnx,
)
from lenet_edge.artefacts.exporting import export_job
from lenet_edge_exporters import FORMATS
from lenet_edge_runtime.latency import Opener

CALIBRATION_IMAGES = 512  # of the training split, as for our int8 file


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
    empty.write_bytes(empty_onnx(subject.image.shape))
    return [
        Contender(
            "OpenVINO", precision, call, lambda p=path, o=open_: o(p), logits(path), lambda o=open_: o(empty), (path,),
            "openvino",
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

    files = tuple(subject.folder / f"lenet.ncnn.{kind}" for kind in ("param", "bin"))
    return [Contender("ncnn", "float32", "run", caller(False), logits, caller(True), files, "ncnn")]


def litert_contenders(subject: Subject) -> list[Contender]:
    """LiteRT (formerly TensorFlow Lite) with XNNPACK: float32 by litert-torch, int8 by ai-edge-quantizer, our file."""
    from ai_edge_litert.interpreter import Interpreter

    pixels = torch.zeros(subject.image.shape, dtype=torch.uint8)
    folded = Folded(subject.net, subject.spec)
    paths = {
        "float32": _converted(subject, "float32", folded, pixels),
        "int8": subject.folder / "int8.tflite",
        "ours": our_tflite(subject),
        "nothing": nothing_tflite(subject),
    }
    _quantize(subject, _converted(subject, "real", folded, pixels.float()), paths["int8"])

    def step(name: str) -> float:
        return float(open_(name)[0].get_output_details()[0]["quantization"][0])  # 0 where it answers in float32

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
        Contender(
            backend, precision, call, caller(name, call), logits(name), caller("nothing", call), (paths[name],),
            "ai-edge-litert", step(name),
        )
        for backend, precision, name in (
            ("LiteRT", "float32", "float32"), ("LiteRT", "int8", "int8"), ("LiteRT, our file", "int8", "ours"),
        )
        for call in ("run", "bound")
    ]  # fmt: skip


def tflm_contenders(subject: Subject) -> list[Contender]:
    """TensorFlow Lite Micro on our file, by the portable kernels that its wheel has."""
    from tflite_micro.python.tflite_micro import runtime

    path = our_tflite(subject)
    image = np.ascontiguousarray(subject.image.transpose(0, 2, 3, 1))

    def caller(file: Path, fed: Images) -> Opener:
        def load() -> Callable[[], object]:
            interpreter = runtime.Interpreter.from_file(str(file))

            def run() -> object:
                interpreter.set_input(fed, 0)
                interpreter.invoke()
                return interpreter.get_output(0)

            return run

        return load

    answering = runtime.Interpreter.from_file(str(path))
    parameters = answering.get_output_details(0)["quantization_parameters"]
    scale, zero = parameters["scales"][0], parameters["zero_points"][0]

    def logits(images: Images) -> Logits:
        def answer(image: Images) -> Any:
            answering.set_input(np.ascontiguousarray(image.transpose(0, 2, 3, 1)), 0)
            answering.invoke()
            return (answering.get_output(0).astype(np.float32) - zero) * scale

        return _one_by_one(answer, images)

    empty = caller(nothing_tflite(subject), subject.image)
    return [
        Contender(
            "TFLM, our file", "int8", "run", caller(path, image), logits, empty, (path,), "tflite-micro", float(scale)
        )
    ]


def our_tflite(subject: Subject) -> Path:
    """Our TFLite file of the run."""
    path = subject.folder / "ours.tflite"
    content = FORMATS["tflite"].export(export_job(subject.opened))
    path.write_bytes(cast(bytes, content))
    return path


def nothing_tflite(subject: Subject) -> Path:
    """A TFLite file that hands its uint8 input on."""
    return _converted(subject, "nothing", Nothing(), torch.zeros(subject.image.shape, dtype=torch.uint8))


def _converted(subject: Subject, name: str, module: torch.nn.Module, example: torch.Tensor) -> Path:
    """The module as a TFLite file by litert-torch."""
    import litert_torch

    path = subject.folder / f"{name}.tflite"
    with contextlib.redirect_stdout(sys.stderr):
        litert_torch.convert(module.eval(), (example,)).export(str(path))
    return path


# Name of `--peers`: the packages it needs, and what gives its contenders. The C export is ours, but wants a compiler.
PEERS: dict[str, tuple[Sequence[str], Callable[[Subject], list[Contender]]]] = {
    "c": ((), c_contenders),
    "torch.compile": ((), compile_contenders),
    "openvino": (("openvino",), openvino_contenders),
    "ncnn": (("ncnn", "pnnx"), ncnn_contenders),
    "litert": (("litert_torch", "ai_edge_litert", "ai_edge_quantizer"), litert_contenders),
    "tflm": (("litert_torch", "tflite_micro"), tflm_contenders),
}


def missing_packages(peer: str) -> list[str]:
    """The packages of a peer that are not installed."""
    return [name for name in PEERS[peer][0] if find_spec(name) is None]


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
    """An image as an interpreter takes it: channels last or not, uint8 as it is, int8 by scale and zero point."""
    if tuple(details["shape"]) != image.shape:
        image = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    if details["dtype"] == np.uint8:
        return image
    scale, zero = details["quantization"]
    return np.clip(np.rint(image / scale) + zero, -128, 127).astype(np.int8)


def _dequantized(values: NDArray[Any], details: dict[str, Any]) -> NDArray[Any]:
    if values.dtype == np.float32:
        return values
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale)
