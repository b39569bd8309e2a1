"""How long the runtime and the command line take to start, and that neither loads torch. Needs the base install alone.

    python benchmarks/startup.py [REPEATS]

Each measurement is a fresh process; the contenders take turns, and the empty interpreter is one of them.
"""

import resource
import statistics
import subprocess
import sys
import time

from lenet_edge_runtime.host import describe_host

CONTENDERS = {
    "python -c pass": ["-c", "pass"],
    "import lenet_edge_runtime": ["-c", "import lenet_edge_runtime"],
    "lenet-edge --help": ["-m", "lenet_edge", "--help"],
    "lenet-edge predict --help": ["-m", "lenet_edge", "predict", "--help"],
}
LIMITS = {"import lenet_edge_runtime": 0.6, "lenet-edge --help": 0.5}  # seconds
HEAVY = ("torch", "onnx", "sklearn", "matplotlib")


def main(repeats: int) -> None:
    """Print the medians; exit with 1 where one is above its limit, or torch is loaded."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    processor: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(repeats + 1):
        for name, arguments in CONTENDERS.items():
            start, used = time.perf_counter(), processor_seconds()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            if number:  # the first round reads the files into the system's cache
                seconds[name].append(time.perf_counter() - start)
                processor[name].append(processor_seconds() - used)
    print(f"| seconds, n = {repeats} | median | least | greatest | of processor | limit |\n|---|--:|--:|--:|--:|--:|")
    for name, values in seconds.items():
        figures = (statistics.median(values), min(values), max(values), statistics.median(processor[name]))
        print(f"| `{name}` |", " | ".join(f"{value:.3f}" for value in figures), f"| {LIMITS.get(name, '')} |")
    host = describe_host()
    print(f"{host['cpu']}, {host['cores']} cores, load {host['load_1min']}, {host['versions']}")
    late = [name for name, limit in LIMITS.items() if statistics.median(seconds[name]) > limit]
    loaded = [name for name in ("lenet_edge_runtime", "lenet_edge.cli") if loads_heavy(name)]
    if late or loaded:
        sys.exit(f"above the limit: {late}; load what a base install has not: {loaded}")


def processor_seconds() -> float:
    """Processor time of all children so far: hardly moved by what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def loads_heavy(module: str) -> bool:
    """Whether importing a module brings in a package that the base install does without."""
    code = f"import sys, {module}; sys.exit(bool(set({HEAVY}) & set(sys.modules)))"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode != 0


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
