"""Our files beside PyTorch, torch.compile, TorchScript, OpenVINO, ncnn, LiteRT and TFLM, in one run, as Markdown.

    pip install -e ".[train]" -r benchmarks/peers.txt
    python benchmarks/peers.py runs/lenet5-mnist-1 runs/lenet5-fashion-mnist-1

One image a call, one thread. How the latency is measured: docs/measure.md.
"""

import argparse
import shlex
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

from backends import (
    C_EXPORT,
    OURS,
    PYTORCH,
    Contender,
    Images,
    Logits,
    Subject,
    onnxruntime_contenders,
    torch_contenders,
)
from lenet_edge.console import percent
from lenet_edge.runs.exported import exported_files
from lenet_edge.runs.finding import find_run
from lenet_edge_exporters import FORMATS
from lenet_edge_exporters.formats import format_of
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.host import describe_host
from lenet_edge_runtime.latency import Timing, measure, paired_ratio
from lenet_edge_runtime.resampling import CALL_LEVEL, minimum_rounds
from peak import macs_per_second
from peer_backends import PEERS, missing_packages

MACS = 416_520  # multiply-accumulates of LeNet-5's five layers on one image
CHECKED_IMAGES = 1000  # of the test set, answered by every contender after the timing
AIM = 8  # times as fast as PyTorch eager
PACKAGES = (
    "lenet-edge", "torch", "onnxruntime", "numpy", "openvino", "ncnn", "pnnx", "ai-edge-litert", "litert-torch",
    "ai-edge-quantizer", "tflite-micro",
)  # fmt: skip
COLUMNS = (
    "backend", "precision", "call", "latency p50, µs (95 % interval)", "of PyTorch's (95 % interval)", "arithmetic",
    "empty call", "agreement",
)  # fmt: skip
SIZE_COLUMNS = (
    "backend", "precision", "model, kB", "installed, MB", "furthest from PyTorch", "as our int8 file",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One contender, timed and checked."""

    contender: Contender
    timing: Timing
    empty: Timing
    answers: "Answers"
    model_bytes: int  # of what the backend reads; 0 where that is the PyTorch model itself


@dataclass(frozen=True)
class Answers:
    """What a contender answered, beside PyTorch and beside our int8 file on onnxruntime."""

    agreement: float  # share of images with PyTorch's class
    difference: float  # the greatest of a logit, as a share of PyTorch's greatest logit
    as_int8: float  # share of images all of whose logits are those of our int8 file, rounded to the backend's step


def main() -> None:
    """Print one table for each run and what follows from it, then what all of them were measured on."""
    arguments = parse(sys.argv[1:])
    host = describe_host(PACKAGES)  # before the load of this very measurement
    peak = {precision: macs_per_second(precision) for precision in ("float32", "int8")}
    peers = [peer for peer in arguments.peers if not missing_packages(peer)]
    for folder in arguments.runs:
        with tempfile.TemporaryDirectory() as temporary:
            subject = subject_of(folder, arguments.data_dir, Path(temporary))
            results = compare(subject, peers, arguments.rounds, arguments.calls)
        print(f"{subject.opened.record.recipe.name} on {subject.data.name}:\n")
        print("\n".join(table(results, peak)) + "\n")
        print("\n".join(size_table(results)) + "\n")
        print("\n".join(findings(results)) + "\n")
    left_out = {peer: missing_packages(peer) for peer in arguments.peers if missing_packages(peer)}
    for peer, packages in left_out.items():
        print(f"Left out: {peer}, for {', '.join(packages)} is not installed.")
    print(conditions(arguments, host, peak))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="An exported network on several backends, as Markdown tables.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders with exported files")
    parser.add_argument("--data-dir", type=Path, help="folder with the data, as for lenet-edge verify")
    parser.add_argument("--rounds", type=int, default=16, help="rounds of fresh sessions (default: 16, at least 8)")
    parser.add_argument("--calls", type=int, default=200, help="timed calls a round (default: 200)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="which ones (default: all)")
    parsed = parser.parse_args(arguments)
    if parsed.rounds < minimum_rounds(CALL_LEVEL):
        parser.error(f"which backend is faster shows from {minimum_rounds(CALL_LEVEL)} rounds on, got {parsed.rounds}")
    return parsed


def subject_of(folder: Path, data_dir: Path | None, temporary: Path) -> Subject:
    """The run in `folder`, which needs its ONNX, int8 and TorchScript files."""
    opened = find_run(folder.resolve(), data_dir=data_dir)  # a converter below works in a folder of its own
    files = {format_of(path).name: path for path in exported_files(opened.run)}
    for name in ("onnx", "int8", "torchscript"):
        if name not in files:
            raise ModelFileError(f"{folder} has no {name} file: run 'lenet-edge export {folder} --int8' first")
    image = opened.data.test_pixels[:1].copy()  # writable, as OpenVINO wants shared memory
    return Subject(opened, files["onnx"], files["int8"], files["torchscript"], image, temporary)


def compare(subject: Subject, peers: list[str], rounds: int, calls: int) -> list[Result]:
    """Time all contenders and their empty nets, interleaved; then compare the answers with PyTorch's."""
    contenders = [*onnxruntime_contenders(subject), *torch_contenders(subject)]
    for peer in peers:
        contenders += PEERS[peer][1](subject)
    openers = {item.name: item.open for item in contenders}
    openers |= {f"{item.name}, empty": item.empty for item in contenders}
    timings = measure(openers, rounds=rounds, calls=calls, warmup=20)
    images = subject.data.test_pixels[:CHECKED_IMAGES]
    reference, int8 = subject.opened.model.logits(images), Classifier(subject.int8).logits(images)
    return [
        Result(
            item,
            timings[item.name],
            timings[f"{item.name}, empty"],
            answers(item, images, reference, int8),
            sum(file.stat().st_size for file in item.files),
        )
        for item in contenders
    ]


def answers(contender: Contender, images: Images, reference: Logits, int8: Logits) -> Answers:
    """A backend's answers beside PyTorch's and our int8 file's; GateError where it does not answer like PyTorch."""
    logits = contender.logits(images)
    row = FORMATS["onnx" if contender.precision == "float32" else "int8"]
    found = float((logits.argmax(1) == reference.argmax(1)).mean())
    difference = float(np.abs(logits - reference).max() / np.abs(reference).max())
    if found < row.min_agreement or (row.max_difference is not None and difference > row.max_difference):
        raise GateError(
            f"{contender.name} agrees with PyTorch on {found:.2%} of {len(images)} images and differs by "
            f"{difference:.2g} of the greatest logit: its timing means nothing"
        )
    near = np.abs(logits - int8) <= 0.501 * contender.step + 1e-6 * np.abs(int8).max()
    return Answers(found, difference, float(near.all(1).mean()))


def table(results: list[Result], peak: dict[str, float]) -> list[str]:
    """The lines of one table, fastest first."""
    pytorch = _pytorch(results)
    lines = [COLUMNS, ("---", "---", "---", *["---:"] * (len(COLUMNS) - 3))]
    for result in sorted(results, key=lambda item: item.timing.p50_us):
        low, high = result.timing.p50_ci95_us
        ratio = paired_ratio(result.timing, pytorch.timing)
        arithmetic_us = MACS / peak[result.contender.precision] * 1e6
        lines.append(
            (
                result.contender.backend,
                result.contender.precision,
                result.contender.call,
                f"{result.timing.p50_us:.1f} ({low:.1f} to {high:.1f})",
                f"{ratio.value:.3f} ({ratio.ci95[0]:.3f} to {ratio.ci95[1]:.3f})",
                percent(arithmetic_us / result.timing.p50_us, 0),
                percent(result.empty.p50_us / result.timing.p50_us, 0),
                percent(result.answers.agreement),
            )
        )
    return [f"| {' | '.join(line)} |" for line in lines]


def size_table(results: list[Result]) -> list[str]:
    """The lines of a second table: what each backend takes on disk, and how exactly it answers."""
    lines = [SIZE_COLUMNS, ("---", "---", *["---:"] * (len(SIZE_COLUMNS) - 2))]
    found = {(item.contender.backend, item.contender.precision): item for item in results}
    for (backend, precision), result in sorted(found.items()):
        package = result.contender.package
        lines.append(
            (
                backend,
                precision,
                f"{result.model_bytes / 1000:.1f}" if result.model_bytes else "",
                f"{installed_bytes(package) / 1e6:.1f}" if package else "",
                f"{result.answers.difference:.1g}",
                percent(result.answers.as_int8) if precision == "int8" else "",
            )
        )
    return [f"| {' | '.join(line)} |" for line in lines]


def installed_bytes(package: str) -> int:
    """What a distribution's own files take on disk, without the packages that it needs and without caches."""
    files = distribution(package).files or []
    return sum(Path(str(file.locate())).stat().st_size for file in files if file.suffix != ".pyc")


def findings(results: list[Result]) -> list[str]:
    """In words: how much faster than PyTorch ours is, and which peer is faster than ours, called in the same way."""
    ours = {item.contender.call: item for item in results if _is_recommended(item)}
    ratio = paired_ratio(_pytorch(results).timing, ours["run"].timing)
    low, high = ratio.ci99 or ratio.ci95
    aim = "reached" if low >= AIM else "missed"
    lines = [
        f"- onnxruntime in float32 is {ratio.value:.1f} times as fast as PyTorch eager ({low:.1f} to {high:.1f}, "
        f"99 %); the aim of {AIM} is {aim}."
    ]
    faster = []
    for item in results:
        against = ours[item.contender.call]
        compared = paired_ratio(item.timing, against.timing)
        if item.contender.backend not in (OURS, C_EXPORT) and compared.verdict == "faster" and compared.ci99:
            low, high = compared.ci99
            faster.append(
                f"- FASTER than our file on onnxruntime: {item.contender.name} takes {compared.value:.2f} of its time "
                f"({low:.2f} to {high:.2f}, 99 %)."
            )
    lines += faster or ["- No peer is faster than our float32 file on onnxruntime, called in the same way."]
    return lines + [_c_finding(item, results) for item in results if item.contender.backend == C_EXPORT]


def _c_finding(ours: Result, results: list[Result]) -> str:
    """How the C export stands against the fastest of the others, called in the same way."""
    others = [item for item in results if item.contender.backend != C_EXPORT and item.contender.call == "bound"]
    fastest = min(others, key=lambda item: item.timing.p50_us)
    ratio = paired_ratio(ours.timing, fastest.timing)
    low, high = ratio.ci99 or ratio.ci95
    name = fastest.contender.name
    return f"- Our C export takes {ratio.value:.2f} of the time of {name} ({low:.2f} to {high:.2f}, 99 %)."


def conditions(arguments: argparse.Namespace, host: dict[str, Any], peak: dict[str, float]) -> str:
    """What a reader needs to judge the figures, and to get them again."""
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    virtual = ", virtual machine" if host["virtual"] else ""
    return (
        f"One image a call, one thread, n = {arguments.rounds * arguments.calls:,} calls each ({arguments.rounds} "
        f"rounds of {arguments.calls} on fresh sessions) on {host['cpu']} ({', '.join(host['instruction_sets'])}; "
        f"{host['cores']} cores, load {host['load_1min']}{virtual}), {host['system']}; {versions}. Agreement: share of "
        f"{CHECKED_IMAGES:,} test images with PyTorch's class. Furthest: of a logit, as a share of PyTorch's greatest. "
        f"As our int8 file: the share of images with its logits. Arithmetic: the share of the time that {MACS:,} "
        f"multiply-accumulates take at this core's measured peak, {peak['float32'] / 1e9:.0f} (float32) and "
        f"{peak['int8'] / 1e9:.0f} (int8) GMAC/s. Empty call: the same call of a net that does nothing, as a share. "
        f"Command: `{shlex.join(['python', *sys.argv])}`"
    )


def _is_recommended(result: Result) -> bool:
    return result.contender.backend == OURS and result.contender.precision == "float32"


def _pytorch(results: list[Result]) -> Result:
    return next(item for item in results if item.contender.backend == PYTORCH)


if __name__ == "__main__":
    main()
