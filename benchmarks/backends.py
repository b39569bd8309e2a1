"""What peers.py sets side by side: a contender, the network it gets, and our own ways to run that beside PyTorch's.

Every backend is given what the ONNX file has: raw pixels as input, and normalisation folded into the first
convolution. Each is called as its documentation calls it ("run": an image in, an array out) and, where it has that,
with the image in its place beforehand ("bound").
"""

import copy
import ctypes
import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lenet_edge.artefacts.exporting import export_job
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.opened import OpenedRun
from lenet_edge_exporters import FORMATS
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import toolchain
from lenet_edge_exporters.pixels import deployable
from lenet_edge_runtime import Classifier, ModelSpec
from lenet_edge_runtime.io_binding import bind_io
from lenet_edge_runtime.latency import Opener
from lenet_edge_runtime.sessions import open_session

Images = NDArray[np.uint8]
Logits = NDArray[np.float32]
OURS = "onnxruntime"
C_EXPORT = "C export"
PYTORCH = "PyTorch eager"


@dataclass(frozen=True)
class Contender:
    """A model on a backend. `open` gives a fresh session's bare call on one image, uint8 [1, 1, h, w].

    `logits` answers images, uint8 [n, 1, h, w], after the timing. `empty` is the same call of a net that does
    nothing: what a call costs by itself. `files` are what the backend reads, `package` the distribution that runs them;
    `step` is what one code of its logits stands for, where it answers in int8.
    """

    backend: str
    precision: str  # "float32" or "int8"
    call: str  # "run" or "bound"
    open: Opener
    logits: Callable[[Images], Logits]
    empty: Opener
    files: tuple[Path, ...] = ()
    package: str | None = None
    step: float = 0.0

    @property
    def name(self) -> str:
        """Unique among the contenders of a measurement."""
        return f"{self.backend}, {self.precision}, {self.call}"


@dataclass(frozen=True)
class Subject:
    """The run that all backends get, its exported files, its data, the timed image, and a folder to convert in."""

    opened: OpenedRun
    float32: Path
    int8: Path
    torchscript: Path
    image: Images
    folder: Path

    @property
    def data(self) -> ImageData:
        """The images that the run was trained on."""
        return self.opened.data

    @property
    def spec(self) -> ModelSpec:
        """What the run says of its input."""
        return self.opened.record.spec

    @property
    def net(self) -> nn.Module:
        """The run's network, in evaluation mode."""
        return self.opened.net


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
    empty.write_bytes(empty_onnx(subject.image.shape))
    found = []
    for precision, path in (("float32", subject.float32), ("int8", subject.int8)):
        logits = Classifier(path).logits
        run = Contender(
            OURS, precision, "run", lambda p=path: Classifier(p, verify=False).bind(subject.image), logits,
            lambda: _onnx_call(empty, subject.image), (path,), "onnxruntime",
        )  # fmt: skip
        bound = Contender(
            OURS, precision, "bound", lambda p=path: bind_io(p, subject.image), logits,
            lambda: _onnx_bound_call(empty, subject.image), (path,), "onnxruntime",
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
            lambda: _torch_call(scripted(Nothing()), pixels), (subject.torchscript,), "torch",
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


def c_contenders(subject: Subject) -> list[Contender]:
    """Our C export, compiled for this machine: its arrays are in their places before a call."""
    folder = subject.folder / "net-c"
    write_folder(folder, FORMATS["c"].export(export_job(subject.opened)))
    options = ["-O3", "-march=native", "-fPIC", "-shared"]
    library = toolchain.compile_c([folder / "lenet.c", folder / "lenet_metadata.c"], folder / "lenet.so", options)
    source = subject.folder / "nothing.c"
    source.write_text("void nothing(void *a, void *b, void *c);\nvoid nothing(void *a, void *b, void *c) "
                      "{ (void)a; (void)b; (void)c; }\n")  # fmt: skip
    nothing = ctypes.CDLL(str(toolchain.compile_c([source], subject.folder / "nothing.so", options))).nothing
    nothing.argtypes, nothing.restype = [ctypes.c_void_p] * 3, None
    empty = functools.partial(nothing, *[subject.image.ctypes.data] * 3)
    classifier = Classifier(library)
    return [
        Contender(C_EXPORT, "int8", "bound", lambda: Classifier(library, verify=False).bind(subject.image),
                  classifier.logits, lambda: empty, (library,))
    ]  # fmt: skip


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


def empty_onnx(shape: tuple[int, ...]) -> bytes:
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
