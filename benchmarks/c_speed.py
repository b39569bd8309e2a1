"""The C export's tables: latency beside onnxruntime, batches; flash, RAM and instructions of an emulated Cortex-M4.

    python benchmarks/c_speed.py runs/lenet5-mnist-1

Exports the run's int8 network anew, builds it in several ways, and times all of them with the run's float32 and int8
ONNX files in the same interleaved rounds, called from Python like those. docs/measure.md says how.
"""

import argparse
import itertools
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lenet_edge.artefacts.exporting import export_job
from lenet_edge.bench.measuring import describe_bench_host
from lenet_edge.runs.finding import find_run
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import emulation, toolchain
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.latency import Timing, measure
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers
from lenet_edge_runtime.shared_library import SharedLibrary

BUILDS = {
    "C, plain, -O3": ["-O3", "-DLENET_PLAIN_C"],
    "C, plain, -O3 -march=native": ["-O3", "-march=native", "-DLENET_PLAIN_C"],
    "C, AVX2, -O3": ["-O3", "-mavx2"],
    "C, -O3 -march=native": ["-O3", "-march=native"],
}
NATIVE = "C, -O3 -march=native"
BATCHES = 20  # repeats of a call for all images
VARIED = 200  # images that a round goes through
BASELINE = "onnxruntime float32"


def main() -> None:
    """Print the table of latencies, then what the network takes on a microcontroller."""
    arguments = parse(sys.argv[1:])
    host = describe_bench_host()
    opened = find_run(arguments.run, data_dir=arguments.data_dir)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "net-c"
        write_folder(folder, FORMATS["c"].export(export_job(opened)))
        timings = latencies(opened.run, folder, opened.data.test_pixels, arguments)
        print("\n".join(table(timings)))
        print("\n".join(["", *batches(folder, opened.data.test_pixels)]))
        print("\n".join(["", *device(folder)]))
    versions = ", ".join(f"{name} {version}" for name, version in host["versions"].items())
    compilers = ", ".join(version_of(name) for name in compilers_here())
    print(
        f"Batch 1, one thread, n = {arguments.rounds * arguments.calls:,} calls each from Python ({arguments.rounds} "
        f"rounds of {arguments.calls}) on {host['cpu']} ({', '.join(host['instruction_sets'])}; {host['cores']} cores, "
        f"load {host['load_1min']}), {host['system']}; {versions}, {compilers}. "
        f"Command: `{shlex.join(['python', *sys.argv])}`"
    )


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Latency and size of the C export, as Markdown.")
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder with exported onnx and int8 files")
    parser.add_argument("--data-dir", type=Path, help="folder with the data, as for lenet-edge verify")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of fresh sessions (default: 20)")
    parser.add_argument("--calls", type=int, default=200, help="timed calls a round (default: 200)")
    return parser.parse_args(arguments)


def compilers_here() -> list[str]:
    return [name for name in ("gcc", "clang") if shutil.which(name)]


def latencies(run: Run, folder: Path, pixels: np.ndarray, arguments: argparse.Namespace) -> dict[str, Timing]:
    """Time every build and both ONNX files on different images; afterwards all of them answer 1,000."""
    files = {name: next(run.export_folder.glob(f"*-{run.read().dataset}{FORMATS[name].suffix}"))
             for name in ("onnx", "int8")}  # fmt: skip
    models = {BASELINE: lambda: Classifier(files["onnx"]), "onnxruntime int8": lambda: Classifier(files["int8"])}
    for compiler in compilers_here():
        for name, options in BUILDS.items():
            library = build(folder, options, compiler)
            models[f"{name} ({compiler})"] = lambda path=library: SharedLibrary(path)
    openers = {name: lambda load=load: in_turn(load(), pixels[:VARIED]) for name, load in models.items()}
    timings = measure(openers, rounds=arguments.rounds, calls=arguments.calls, warmup=20)
    expected = models["onnxruntime int8"]().logits(pixels[:1000])
    for name, load in models.items():
        same = np.array_equal(load().logits(pixels[:1000]), expected)
        assert same or name == BASELINE, f"{name} gives other logits than int8 ONNX: its time means nothing"
    return timings


def build(folder: Path, options: Sequence[str], compiler: str) -> Path:
    """The folder's library by these options."""
    library = folder / f"{compiler}{''.join(options)}.so"
    sources = [folder / "lenet.c", folder / "lenet_metadata.c"]
    return toolchain.compile_c(sources, library, ["-fPIC", "-shared", *options], [compiler])


def in_turn(model: Classifier | SharedLibrary, pixels: np.ndarray) -> Callable[[], object]:
    """A call on one image after another: the same image again and again would teach a processor its branches."""
    calls = itertools.cycle([model.bind(pixels[i : i + 1]) for i in range(len(pixels))])
    return lambda: next(calls)()


def table(timings: dict[str, Timing]) -> list[str]:
    """The lines of the table, the baseline's median as 1."""
    lines = [
        "| build | p50, µs (95 % interval) | p90, µs | p99, µs | of onnxruntime float32 |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, timing in timings.items():
        low, high = timing.p50_ci95_us
        p99 = "" if timing.p99_us is None else f"{timing.p99_us:.1f}"
        ratio = timing.p50_us / timings[BASELINE].p50_us
        lines.append(
            f"| {name} | {timing.p50_us:.1f} ({low:.1f} to {high:.1f}) | {timing.p90_us:.1f} | {p99} | {ratio:.2f} |"
        )
    return lines


def batches(folder: Path, pixels: np.ndarray) -> list[str]:
    """The lines of a table: images a second by a call an image and by one call for all, in turns, from Python.

    By the thread's own time: while other programs have the processor, it stands still.
    """
    model = SharedLibrary(build(folder, BUILDS[NATIVE], compilers_here()[0]))
    bound = [model.bind(image) for image in np.split(pixels, len(pixels))]
    ways: dict[str, Callable[[], object]] = {
        "`logits` for each image": lambda: [model.logits(image) for image in np.split(pixels, len(pixels))],
        "the bare call for each image": lambda: [call() for call in bound],
        "`logits` for all of them, one call of `lenet_predict_batch`": lambda: model.logits(pixels),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(BATCHES):
        for name, call in ways.items():
            start = time.thread_time()
            call()
            seconds[name].append(time.thread_time() - start)
    lines = [
        f"| {NATIVE}, {len(pixels):,} images | images a second of one core, median of {BATCHES} | range |",
        "| --- | ---: | ---: |",
    ]
    for name, found in seconds.items():
        rates = len(pixels) / np.array(found)
        lines.append(f"| {name} | {np.median(rates):,.0f} | {rates.min():,.0f} to {rates.max():,.0f} |")
    return lines


def device(folder: Path) -> list[str]:
    """RAM and multiplications, and what each level of optimisation makes of flash, stack and instructions."""
    metadata = SharedLibrary(next(folder.glob("*.so"))).metadata
    macs = int(metadata["lenet_edge.macs"])
    facts = f"RAM: {metadata['lenet_edge.scratch_bytes']} bytes of scratch; {macs:,} MACs"
    if not shutil.which(emulation.COMPILER):
        return [f"{facts}; nothing compiled for a Cortex-M4: {emulation.COMPILER} is not installed."]
    answers = KnownAnswers.from_json(metadata[KNOWN_ANSWERS])
    lines = [f"{facts}.", "", "| Cortex-M4 | flash, bytes | stack, bytes | instructions, about its cycles |"]
    lines.append("| --- | ---: | ---: | ---: |")
    for level in ("-Os", "-O2", "-O3"):
        found = emulation.measure(folder, answers, macs, level)
        counted = found.not_counted or f"{found.stack_bytes:,} | {found.instructions:,}"
        lines.append(f"| {emulation.build_name(level)} | {found.flash_bytes:,} | {counted} |")
    return [*lines, ""]


def version_of(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


if __name__ == "__main__":
    main()
