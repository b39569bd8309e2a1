"""The C export's table: latency beside onnxruntime, flash and RAM on a Cortex-M4, and its instructions under emulation.

    python benchmarks/c_speed.py runs/lenet5-mnist-1

Exports the run's int8 network anew, builds it in several ways, and times all of them with the run's float32 and int8
ONNX files in the same interleaved rounds, called from Python like those. README.md beside this file says how.
"""

import argparse
import itertools
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lenet_edge.benchmarking import describe_bench_host
from lenet_edge.exporting import export_job
from lenet_edge.reference import load_run_data
from lenet_edge.runs import Run, find_run
from lenet_edge_exporters import FORMATS
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import toolchain
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.latency import Timing, measure
from lenet_edge_runtime.shared_library import SharedLibrary

BUILDS = {
    "C, plain, -O3": ["-O3", "-DLENET_PLAIN_C"],
    "C, plain, -O3 -march=native": ["-O3", "-march=native", "-DLENET_PLAIN_C"],
    "C, AVX2, -O3": ["-O3", "-mavx2"],
    "C, -O3 -march=native": ["-O3", "-march=native"],
}
FIRMWARE = Path(__file__).parent.parent / "tests" / "firmware"
VARIED = 200  # images that a round goes through
BASELINE = "onnxruntime float32"
CORTEX_M4 = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-ffreestanding"]
TEMPLATES = Path(toolchain.__file__).parent / "templates"


def main() -> None:
    """Print the table of latencies, then what the network takes on a microcontroller."""
    arguments = parse(sys.argv[1:])
    host = describe_bench_host()
    run = find_run(arguments.run)
    data = load_run_data(run, run.read(), arguments.data_dir)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "net-c"
        write_folder(folder, FORMATS["c"].export(export_job(run, run.read(), data)))
        timings = latencies(run, folder, data.test_pixels, arguments)
        print("\n".join(table(timings)))
        print(f"\n{device(folder)}")
        print("\n".join(instructions(folder, data.test_pixels[:10])))
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
            library = folder / f"{compiler}{len(models)}.so"
            sources = [folder / "lenet.c", folder / "lenet_metadata.c"]
            toolchain.compile_c(sources, library, ["-fPIC", "-shared", *options], [compiler])
            models[f"{name} ({compiler})"] = lambda path=library: SharedLibrary(path)
    openers = {name: lambda load=load: in_turn(load(), pixels[:VARIED]) for name, load in models.items()}
    timings = measure(openers, rounds=arguments.rounds, calls=arguments.calls, warmup=20)
    expected = models["onnxruntime int8"]().logits(pixels[:1000])
    for name, load in models.items():
        same = np.array_equal(load().logits(pixels[:1000]), expected)
        assert same or name == BASELINE, f"{name} gives other logits than int8 ONNX: its time means nothing"
    return timings


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


def device(folder: Path) -> str:
    """Flash, RAM and multiplications, compiled for a Cortex-M4 where there is a compiler for it."""
    stated = SharedLibrary(next(folder.glob("*.so"))).metadata
    facts = f"RAM: {stated['lenet_edge.scratch_bytes']} bytes of scratch; {int(stated['lenet_edge.macs']):,} MACs"
    if not shutil.which("arm-none-eabi-gcc"):
        return f"{facts}; flash not measured: arm-none-eabi-gcc is not installed."
    sizes = []
    for level in ("-Os", "-O2"):
        options = [*CORTEX_M4, level, "-c", "-isystem", str(TEMPLATES)]
        compiled = toolchain.compile_c([folder / "lenet.c"], folder / "m4.o", options, ["arm-none-eabi-gcc"])
        sizes.append(f"{toolchain.loaded_bytes(compiled.read_bytes()):,} bytes by {level}")
    return f"{facts}; flash on a Cortex-M4, weights and code: {', '.join(sizes)}."


def instructions(folder: Path, pixels: np.ndarray) -> list[str]:
    """A table of the instructions that one inference takes on an emulated Cortex-M4, the mean over `pixels`.

    The emulator's clock advances by one step an instruction; a loop of known length says how many make a tick.
    """
    if not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")):
        return ["Instructions not counted: arm-none-eabi-gcc and qemu-system-arm are not both installed."]
    codes = ", ".join(map(str, pixels.reshape(-1)))
    (folder / "digits.h").write_text(
        f"enum {{ DIGITS = {len(pixels)} }};\nstatic const uint8_t digits[] = {{{codes}}};\n"
    )
    lines = ["", "| Cortex-M4 | instructions, about its cycles |", "| --- | ---: |"]
    for level in ("-Os", "-O2", "-O3"):
        program = folder / "count.elf"
        sources = [folder / "lenet.c", FIRMWARE / "cortex_m.c", FIRMWARE / "memory.c"]
        options = [option for option in CORTEX_M4 if option != "-ffreestanding"]  # memcpy of a word is a load
        command = [
            "arm-none-eabi-gcc",
            "-std=gnu99",
            "-ffp-contract=off",
            *options,
            level,
            "-DBOARD_COUNT",
            "-nostdlib",
        ]
        include = ["-isystem", str(TEMPLATES), "-I", str(folder), "-T", str(FIRMWARE / "cortex_m.ld")]
        subprocess.run([*command, *include, *map(str, sources), "-lgcc", "-o", str(program)], check=True)
        emulator = ["qemu-system-arm", "-machine", "mps2-an386", "-icount", "shift=0", "-nographic", "-monitor", "none"]
        more = ["-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel", str(program)]
        done = subprocess.run([*emulator, *more], capture_output=True, text=True, check=True, timeout=120)
        known, *ticks = map(int, (done.stdout + done.stderr).split())
        lines.append(f"| arm-none-eabi-gcc {level} | {2_000_000 / known * np.mean(ticks):,.0f} |")
    return [*lines, ""]


def version_of(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


if __name__ == "__main__":
    main()
