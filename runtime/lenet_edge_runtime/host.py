"""The machine a figure was measured on: what a reader needs to compare it, and nothing that names the machine."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

# Those that decide how fast a small net runs, in /proc/cpuinfo's spelling (x86 flags, Arm features).
INSTRUCTION_SETS = (
    "sse4_2", "avx", "fma", "avx2", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip

# Figures of two hosts that differ in one of these cannot be compared; load and versions are told, not refused.
HARDWARE = ("cpu", "instruction_sets", "cores", "virtual", "governor", "system")
BUSY = 0.5  # load a core from which other processes are seen in the figures


def describe_host(packages: tuple[str, ...] = ("onnxruntime", "numpy")) -> dict[str, Any]:
    """Return the CPU's model and instruction sets, cores, governor, load, system, and versions of `packages`.

    `cores_usable` are those that this process may run on; `virtual` says that a hypervisor shares the machine out
    (None where the system does not tell); `governor` is None where the system shows none, as in most virtual machines.
    """
    flags = _cpu_flags()
    return {
        "cpu": _cpu_field("model name") or platform.processor() or platform.machine(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags],
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "virtual": "hypervisor" in flags if flags else None,
        "governor": _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **installed_versions(packages)},
    }


def is_busy(host: dict[str, Any]) -> bool:
    """Whether other processes took so much of the machine that they are seen in its figures."""
    return (host["load_1min"] or 0) > BUSY * (host["cores"] or 1)


def installed_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of those of `packages` that are installed, read without importing them."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM now (VmRSS), shared libraries included; None but on Linux."""
    for line in (_read(Path("/proc/self/status")) or "").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return None


def _cpu_flags() -> set[str]:
    return set((_cpu_field("flags") or _cpu_field("Features") or "").split())


def _cpu_field(name: str) -> str | None:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
