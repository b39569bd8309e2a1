"""The C export against onnxruntime: the same logits, bit for bit, in every build that this machine can make."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export_jobs import make_job
from lenet_edge.commands.export_tables import print_footprints
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.recipes import RECIPES
from lenet_edge_exporters import FORMATS, ExportJob, export, formats, int8, open_file, own_files
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import emulation, toolchain, wasm
from lenet_edge_exporters.c.toolchain import CompilerError
from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_runtime import Classifier, ModelSpec
from lenet_edge_runtime.errors import GateError, ModelFileError, ProviderError
from lenet_edge_runtime.host import describe_host
from lenet_edge_runtime.proof import CARD, KNOWN_ANSWERS, KnownAnswers
from lenet_edge_runtime.sessions import open_session
from lenet_edge_runtime.shared_library import SharedLibrary
from trained_runs import briefly_trained

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "tests" / "firmware"
ALL, SOME = 10_000, 1_000  # images: natively, and under emulation
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
CLANG = ("-ffreestanding", "-nostdlib", "-static", "-fuse-ld=lld", "-isystem", str(emulation.HEADERS))


@dataclass(frozen=True)
class Build:
    """How the network is compiled, and where it runs."""

    tools: tuple[str, ...]
    options: tuple[str, ...]
    runner: str = ""  # of a Linux program; or
    board: str = ""  # of qemu-system-arm; neither: this process
    logits: str = "<f4"  # as the program writes them
    needs: str = ""  # of this machine's instruction sets

    @property
    def images(self) -> int:
        return SOME if self.runner or self.board else ALL


def board(name: str, *options: str) -> Build:
    return Build((emulation.COMPILER, emulation.EMULATOR), options, board=name)


def linux(architecture: str, *options: str, processor: str = "", logits: str = "<f4") -> Build:
    """By clang, under an emulator of `processor`, or of one that has all that there is."""
    emulator = f"qemu-{architecture}"
    runner = f"{emulator} -cpu {processor}" if processor else emulator
    return Build(("clang", "ld.lld", emulator), (*options, *CLANG), runner, logits=logits)


VNNI = {"avx512_vnni": ("-mavx2", "-mavx512vl", "-mavx512vnni"), "avx_vnni": ("-mavx2", "-mavxvnni")}
BUILDS = {
    **{
        f"{compiler} {' '.join(options)}": Build((compiler,), options)
        for compiler in ("gcc", "clang")
        for options in (
            ("-O0",), ("-O2",), ("-O3", "-march=native"), ("-O2", "-mavx2"),
            ("-O3", "-march=native", "-DLENET_PLAIN_C"),
        )
    },
    **{
        f"{compiler} {instructions}": Build((compiler,), ("-O3", *options), needs=instructions)
        for compiler in ("gcc", "clang")
        for instructions, options in VNNI.items()
    },
    "gcc -O3 -std=gnu17 -march=native, contracting": Build(
        ("gcc",), ("-O3", "-std=gnu17", "-march=native", "-DLENET_PLAIN_C", "-ffp-contract=fast")
    ),
    "aarch64": linux("aarch64", "--target=aarch64-linux-gnu", "-O2", processor="cortex-a53"),
    "aarch64, dot product": linux(
        "aarch64", "--target=aarch64-linux-gnu", "-march=armv8.2-a+dotprod", "-O2", processor="cortex-a76"
    ),
    "aarch64, dot product, -Os": linux(
        "aarch64", "--target=aarch64-linux-gnu", "-march=armv8.2-a+dotprod", "-Os", processor="cortex-a76"
    ),
    "aarch64, 8-bit matrices": linux("aarch64", "--target=aarch64-linux-gnu", "-march=armv8.6-a", "-O2"),
    "arm": linux("arm", "--target=armv7-linux-gnueabihf", "-mfpu=neon", "-mfloat-abi=hard", "-O2"),
    "riscv64": linux("riscv64", "--target=riscv64-linux-gnu", "-march=rv64gc", "-mabi=lp64d", "-O2"),
    "riscv32": linux("riscv32", "--target=riscv32-linux-gnu", "-march=rv32gc", "-mabi=ilp32d", "-O2"),
    "powerpc, big-endian": linux("ppc", "--target=powerpc-linux-gnu", "-O2", logits=">f4"),
    "Cortex-M0": board("mps2-an385", "-mcpu=cortex-m0", "-Os"),
    "Cortex-M3": board("mps2-an385", "-mcpu=cortex-m3", "-O2"),
    "Cortex-M4": board("mps2-an386", *emulation.CORTEX_M4, "-O2"),
    **{f"Cortex-M55 {level}": board("mps3-an547", *emulation.CORTEX_M55, level) for level in ("-O2", "-Os")},
}  # fmt: skip


# Everything else takes minutes.
FAST = ("gcc -O2", "gcc -O2 -mavx2", "gcc avx512_vnni", "aarch64, dot product", "aarch64, 8-bit matrices")
EVERY_BUILD = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in BUILDS]


@dataclass(frozen=True)
class Exported:
    """A folder of the C export, images, and the logits that onnxruntime gives for them by the int8 ONNX file."""

    folder: Path
    pixels: np.ndarray
    logits: np.ndarray

    def first(self, images: int) -> "Exported":
        return Exported(self.folder, self.pixels[:images], self.logits[:images])


def write_own(folder: Path, content: bytes | Mapping[str, bytes]) -> None:
    """Write a folder as this machine's own, which is opened without --trust."""
    formats.write_content(folder, content)
    own_files.remember(formats.sha256_of(content))


def exported(job: ExportJob, pixels: np.ndarray, folder: Path) -> Exported:
    content = FORMATS["c"].export(job)
    write_own(folder / "net-c", content)
    (folder / "net.int8.onnx").write_bytes(int8.export(job))  # with its first convolution rewritten for onnxruntime
    logits = open_session(folder / "net.int8.onnx").run(["logits"], {"pixels": pixels})[0]
    return Exported(folder / "net-c", pixels, logits)


@pytest.fixture(scope="session", params=["lenet5", "lenet5-classic"])
def on_digits(request: pytest.FixtureRequest, digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    job = briefly_trained(digits, request.param)
    return exported(job, digits.test_pixels, tmp_path_factory.mktemp("c"))


# One recipe of each network as it is deployed: dropout is gone then, and how it was trained makes no difference here.
NETWORKS = {(replace(row.model, dropout=0.0), row.padding): name for name, row in reversed(RECIPES.items())}


@pytest.fixture(scope="session", params=sorted(NETWORKS.values()))
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A recipe's network by random weights."""
    job = make_job(request.param)
    return exported(job, job.check_pixels[:16], tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="session", params=["lenet5", "lenet5-classic"])
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session", params=["mnist", "fashion-mnist"])
def official(
    request: pytest.FixtureRequest, recipe: str, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    data = load_dataset(request.param, real_data)
    return exported(briefly_trained(data, recipe), data.test_pixels, tmp_path_factory.mktemp("c"))


@pytest.fixture
def compiler() -> None:
    try:
        toolchain.find_compiler()
    except CompilerError as error:
        pytest.skip(str(error))


@pytest.fixture
def board_tools() -> None:
    for tool in (emulation.COMPILER, emulation.EMULATOR):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def logits_of(build: Build, net: Exported, folder: Path) -> np.ndarray:
    """Compile and run; skips where a tool is missing."""
    for tool in build.tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    if build.needs and build.needs not in describe_host()["instruction_sets"]:
        pytest.skip(f"this processor has no {build.needs}")
    lenet, tool = net.folder / "lenet.c", [build.tools[0]]
    options = [*WARNINGS, *build.options, "-I", str(net.folder)]
    if build.board:
        net.pixels.tofile(folder / "images.bin")
        program = emulation.build([lenet, FIRMWARE / "files.c"], folder / "program", options)
        emulation.run(program, folder, machine=build.board, seconds=600)
        return np.fromfile(folder / "logits.bin", "<f4").reshape(len(net.pixels), -1)
    if build.runner:
        sources = [lenet, FIRMWARE / "linux.c", emulation.BOARD / "memory.c"]
        program = toolchain.compile_c(sources, folder / "program", options, tool)
        done = subprocess.run(
            [*build.runner.split(), str(program)],
            input=net.pixels.tobytes(), capture_output=True, check=True, timeout=600,
        )  # fmt: skip
        return np.frombuffer(done.stdout, build.logits).reshape(len(net.pixels), -1).astype(np.float32)
    sources = [lenet, net.folder / "lenet_metadata.c"]
    library = toolchain.compile_c(sources, folder / "lenet.so", [*options, "-fPIC", "-shared"], tool)
    return SharedLibrary(library).logits(net.pixels)


@pytest.mark.parametrize("name", EVERY_BUILD)
def test_same_bits_on_digits(name: str, on_digits: Exported, tmp_path: Path) -> None:
    net = on_digits if BUILDS[name].images == ALL else on_digits.first(100)
    np.testing.assert_array_equal(logits_of(BUILDS[name], net, tmp_path), net.logits)


@pytest.mark.parametrize("name", EVERY_BUILD)
def test_same_bits_for_the_network_of_every_recipe(name: str, network: Exported, tmp_path: Path) -> None:
    assert len(np.unique(network.logits)) > 100  # not all saturated: the comparison says something
    np.testing.assert_array_equal(logits_of(BUILDS[name], network, tmp_path), network.logits)


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDS)
def test_same_bits_on_official_test_images(name: str, official: Exported, tmp_path: Path) -> None:
    net = official.first(BUILDS[name].images)
    np.testing.assert_array_equal(logits_of(BUILDS[name], net, tmp_path), net.logits)


NETS = {
    "padding, strides, overlapping pooling, tanh": lambda: nn.Sequential(
        nn.Conv2d(1, 20, 3), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1),
        nn.Conv2d(20, 9, 3, padding=1, stride=2), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(), nn.Linear(81, 17), nn.Tanh(), nn.Linear(17, 10),
    ),
    "colour, average pooling of two sizes": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 10, 3, padding=1), nn.ReLU(), nn.AvgPool2d(3),
        nn.Flatten(), nn.Linear(160, 10),
    ),
}  # fmt: skip


def job_of(net: nn.Sequential) -> ExportJob:
    """A net for 28 x 28, with images of noise."""
    channels = net[0].in_channels
    spec = ModelSpec(tuple("0123456789"), 28, 28, (0.13,) * channels, (0.3,) * channels)
    pixels = np.random.default_rng(0).integers(0, 256, (100, channels, 28, 28), dtype=np.uint8)
    return ExportJob(net.eval(), spec, pixels, pixels)


@pytest.mark.parametrize("build", [*FAST, "Cortex-M3", "Cortex-M4", "Cortex-M55 -O2"])
@pytest.mark.parametrize("name", NETS)
def test_same_bits_for_other_nets(name: str, build: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    job = job_of(NETS[name]())
    found = exported(job, job.check_pixels, tmp_path)
    np.testing.assert_array_equal(logits_of(BUILDS[build], found, tmp_path), found.logits)


@pytest.mark.parametrize(
    "compiler",
    ["gcc", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gcc -mavx2", "clang", "clang -mavx2"))],
)
def test_self_test_passes_under_sanitizers_and_finds_one_flipped_weight(
    compiler: str, on_digits: Exported, tmp_path: Path
) -> None:
    for tool in (compiler.split()[0], "make"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path / "net-c"
    shutil.copytree(on_digits.folder, folder)
    assert "PASS: 16 of 16 known answers" in make_test(folder, compiler).stdout
    text = (folder / "lenet.c").read_text()
    at = text.index("layer4_weights[")
    (folder / "lenet.c").write_text(text[:at] + text[at:].replace("= {\n    ", "= {\n    64 + ", 1))
    failed = make_test(folder, compiler)
    assert failed.returncode != 0
    assert "FAIL" in failed.stdout


def make_test(folder: Path, compiler: str) -> subprocess.CompletedProcess[str]:
    flags = "-O1 -g -Werror -fsanitize=address,undefined -fno-sanitize-recover=all"
    command = ["make", "-B", f"CC={compiler}", f"CFLAGS={flags}", "test"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("board_tools")
@pytest.mark.parametrize("on_digits", ["lenet5"], indirect=True)
def test_firmware_for_a_cortex_m4_names_ten_digits(on_digits: Exported, digits: ImageData, tmp_path: Path) -> None:
    check_firmware(on_digits, digits, tmp_path)


@pytest.mark.usefixtures("board_tools")
@pytest.mark.real_data
def test_firmware_for_a_cortex_m4_names_ten_digits_of_mnist(real_data: Path, tmp_path: Path) -> None:
    data = load_dataset("mnist", real_data)
    check_firmware(exported(briefly_trained(data, "lenet5"), data.test_pixels, tmp_path), data, tmp_path)


def check_firmware(net: Exported, data: ImageData, folder: Path) -> None:
    """The example, built and run by its own Makefile, prints what onnxruntime says of the same images."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    values = {"NET": net.folder, "DATASET": data.name, "PYTHON": sys.executable, "BUILD": folder / "build"}
    done = subprocess.run(
        ["make", "-s", "run", *(f"{name}={value}" for name, value in values.items()), "CFLAGS=-O2 -Werror"],
        cwd=ROOT / "examples" / "firmware", env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    firsts = [int(np.flatnonzero(data.test_labels == label)[0]) for label in range(10)]
    named = net.logits[firsts].argmax(1)
    right = int((named == range(10)).sum())
    printed = (done.stdout + done.stderr).splitlines()
    assert printed[-11:] == [*(f"{label}: {named[label]}" for label in range(10)), f"{right} of 10 right"]
    assert right >= 7  # of a net that was trained for seconds


@pytest.mark.usefixtures("compiler")
def test_folder_is_opened_again(on_digits: Exported) -> None:
    stated, model = open_file(on_digits.folder)
    assert stated == "c"
    np.testing.assert_array_equal(model.logits(on_digits.pixels), on_digits.logits)


@pytest.fixture(scope="module")
def files() -> Mapping[str, bytes]:
    """The default net's folder, by random weights."""
    content = FORMATS["c"].export(make_job("lenet5"))
    assert isinstance(content, dict)
    return content


def test_exporting_twice_gives_the_same_bytes_and_the_hash_that_sha256sum_prints(files: Mapping[str, bytes]) -> None:
    assert files == FORMATS["c"].export(make_job("lenet5"))
    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    assert formats.sha256_of(files) == hashlib.sha256(lines.encode()).hexdigest()
    assert b"/home" not in b"".join(files.values())


@pytest.fixture
def net(files: Mapping[str, bytes], tmp_path: Path) -> Path:
    write_folder(tmp_path / "net-c", files)
    return tmp_path / "net-c"


@pytest.mark.usefixtures("compiler")
def test_default_net_fits_into_75_kilobytes_of_flash_and_4_of_ram(net: Path) -> None:
    found = footprint(net)
    assert found["macs"] == 416_520
    assert found["scratch_bytes"] <= 4096
    assert found["constant_bytes"] < found["flash_bytes"] <= 75_000


def footprint(net: Path) -> Mapping[str, Any]:
    row = FORMATS["c"]
    assert row.footprint
    return row.footprint(net, row.load(net, 1))


def without(monkeypatch: pytest.MonkeyPatch, *tools: str) -> None:
    """As on a machine where these are not installed."""
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in tools else which(name))


@pytest.mark.usefixtures("compiler", "board_tools")
def test_instructions_and_stack_are_those_of_a_cortex_m4(net: Path) -> None:
    found = footprint(net)
    assert re.fullmatch(r"arm-none-eabi-gcc [\d.]+ -Os for Cortex-M4", found["flash_build"])
    assert found["not_counted"] is None
    # Two products an instruction at best, and at most a few instructions for each.
    assert found["macs"] / 2 < found["cortex_m4_instructions"] < 10 * found["macs"]
    fast = emulation.measure(net, answers_of(net), found["macs"], "-O2")
    assert fast.instructions is not None
    assert fast.instructions < found["cortex_m4_instructions"]


@pytest.mark.usefixtures("compiler", "board_tools")
def test_stack_is_what_the_compiler_says_of_its_functions(net: Path, tmp_path: Path) -> None:
    options = [*emulation.CORTEX_M4, *emulation.BARE, "-O2", "-fstack-usage", "-c"]
    toolchain.compile_c([net / "lenet.c"], tmp_path / "lenet.o", options, [emulation.COMPILER])
    bytes_of = {line.split(":")[-1].split()[0]: int(line.split()[1])
                for line in (tmp_path / "lenet.su").read_text().splitlines()}  # fmt: skip
    found = emulation.measure(net, answers_of(net), 416_520, "-O2").stack_bytes
    # By -O2 all of it is one function, which calls memset at most.
    assert found is not None
    assert bytes_of["lenet_predict"] <= found <= bytes_of["lenet_predict"] + 16


@pytest.mark.parametrize("language", ["c", "c++"])
def test_header_states_the_size_of_the_scratch_in_c_and_in_cpp(language: str, net: Path, tmp_path: Path) -> None:
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    stated = re.search(r"(\d+) bytes of RAM", (net / "lenet.h").read_text())
    assert stated
    (tmp_path / "size").write_text(
        f'#include "lenet.h"\ntypedef char same[sizeof(lenet_scratch) == {stated[1]} ? 1 : -1];\n'
    )
    command = ["gcc", *WARNINGS, "-I", net, "-fsyntax-only", "-x", language, tmp_path / "size"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


REFUSED = {
    "-ffast-math": "gcc -ffast-math",
    "IEEE 754": "gcc -freciprocal-math",
    "an_int_of_32_bits": "clang --target=msp430",
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_would_give_other_bits_does_not_compile(why: str, net: Path, tmp_path: Path) -> None:
    tool, *options = REFUSED[why].split()
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    options += ["-ffreestanding", "-isystem", str(emulation.HEADERS), "-c"]
    with pytest.raises(CompilerError, match=f"does not compile lenet.c: .*{why}"):
        toolchain.compile_c([net / "lenet.c"], tmp_path / "lenet.o", options, [tool])


@pytest.mark.parametrize("options", [(), ("-mavx2",), *VNNI.values()], ids=["plain C", "AVX2", *VNNI])
def test_source_is_what_compilers_for_windows_take(options: tuple[str, ...], net: Path, tmp_path: Path) -> None:
    """clang in the likeness of MSVC: without `restrict`, attributes and __GNUC__."""
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    flags = [*WARNINGS, "-Wno-language-extension-token", *options, "--target=x86_64-pc-windows-msvc", "-Drestrict=?"]
    toolchain.compile_c(
        [net / "lenet.c"],
        tmp_path / "lenet.obj",
        [*flags, "-ffreestanding", "-isystem", str(emulation.HEADERS), "-c"],
        ["clang"],
    )


PARENT = """cmake_minimum_required(VERSION 3.10)
project(parent LANGUAGES C CXX)
add_subdirectory(net-c)
add_executable(program program.cpp)
target_link_libraries(program PRIVATE lenet)
"""
PROGRAM = """#include <lenet.h>
#include <iostream>
int main() {
  static lenet_scratch scratch;
  uint8_t pixels[LENET_PIXELS] = {};
  float logits[LENET_CLASSES];
  lenet_predict(pixels, logits, &scratch);
  std::cout << LENET_CLASSES << std::endl;
}
"""


def cmake(source: Path, *options: str) -> Path:
    """Configure and build in a folder of its own, which is returned."""
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed")
    build = source / "out"
    for command in (["cmake", "-S", source, "-B", build, *options], ["cmake", "--build", build]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in (done.stdout + done.stderr).lower()
    return build


@pytest.mark.usefixtures("compiler")
def test_cmake_builds_the_self_test_and_ctest_passes_it(net: Path) -> None:
    build = cmake(net)
    assert "CMAKE_BUILD_TYPE:STRING=Release" in (build / "CMakeCache.txt").read_text()
    done = subprocess.run(["ctest", "--test-dir", build], capture_output=True, text=True, check=False)
    assert "100% tests passed, 0 tests failed out of 1" in done.stdout


@pytest.mark.usefixtures("compiler")
def test_cmake_takes_the_folder_into_a_project_in_cpp(net: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(PARENT)
    (tmp_path / "program.cpp").write_text(PROGRAM)
    build = cmake(tmp_path)
    assert subprocess.run([build / "program"], capture_output=True, text=True, check=True).stdout == "10\n"
    assert not list(build.rglob("lenet_selftest*"))


@pytest.mark.usefixtures("board_tools")
def test_cmake_cross_compiles_the_library_for_firmware(net: Path) -> None:
    flags = "-DCMAKE_C_FLAGS=" + " ".join(["-mthumb", *emulation.CORTEX_M4])
    build = cmake(net, "-DCMAKE_SYSTEM_NAME=Generic", f"-DCMAKE_C_COMPILER={emulation.COMPILER}", flags,
                  "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY")  # fmt: skip
    assert (build / "liblenet.a").is_file()
    assert not list(build.rglob("lenet_selftest*"))


def answers_of(net: Path) -> KnownAnswers:
    return KnownAnswers.from_json(FORMATS["c"].load(net, 1).metadata[KNOWN_ANSWERS])


@pytest.mark.usefixtures("compiler", "board_tools")
def test_other_logits_on_the_emulated_processor_are_an_error(net: Path) -> None:
    answers = answers_of(net)
    logits = answers.logits.copy()
    logits.view(np.uint32)[3, 4] ^= 1
    with pytest.raises(GateError, match=r"net-c: on an emulated Cortex-M4 its C gives other logits than onnxruntime"):
        emulation.measure(net, replace(answers, logits=logits), 416_520)


@pytest.mark.usefixtures("compiler", "board_tools")
def test_network_that_the_board_cannot_hold_is_not_counted(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = (net / "lenet.h").read_text()
    (net / "lenet.h").write_text(re.sub(r"activations\[\d+\]", "activations[5000000]", header))
    found = footprint(net)
    assert found["flash_bytes"] < 75_000
    assert found["cortex_m4_instructions"] is None
    assert re.search(r"region .ram' overflowed by \d+ bytes", found["not_counted"])


@pytest.mark.usefixtures("compiler", "board_tools")
@pytest.mark.parametrize("level", ["-Os", "-O2", "-O3"])
@pytest.mark.parametrize("options", [(), ("-mno-unaligned-access",)], ids=["default", "aligned loads"])
def test_firmware_keeps_no_state_calls_no_memcpy_for_a_word_and_takes_little_stack(
    options: tuple[str, ...], level: str, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulation, "CORTEX_M4", (*emulation.CORTEX_M4, *options))
    flags = [*WARNINGS, "-Wdouble-promotion", "-Wcast-align=strict", *emulation.CORTEX_M4, *emulation.BARE, level, "-c"]
    built = toolchain.compile_c([net / "lenet.c"], tmp_path / "lenet.o", flags, [emulation.COMPILER])
    symbols = subprocess.run(["arm-none-eabi-nm", built], capture_output=True, text=True, check=True).stdout
    kinds = {line.split()[-1]: line.split()[-2] for line in symbols.splitlines()}
    assert {name for name, kind in kinds.items() if kind == "U"} == {"memset"}
    assert not [name for name, kind in kinds.items() if kind in "dDbBC"]
    found = emulation.measure(net, answers_of(net), 416_520, level)
    assert found.stack_bytes is not None
    assert found.stack_bytes <= 400


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("missing", [emulation.COMPILER, emulation.EMULATOR])
def test_without_the_tools_the_table_says_that_nothing_was_counted(
    missing: str, net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, missing)
    found = footprint(net)
    assert found["cortex_m4_instructions"] is None
    assert found["stack_bytes"] is None
    on_board = bool(shutil.which(emulation.COMPILER))
    assert found["flash_build"].endswith("for Cortex-M4" if on_board else "for this machine")
    print_footprints([SimpleNamespace(path=net, footprint=found)])
    printed = " ".join(capsys.readouterr().out.split())
    assert "not counted: arm-none-eabi-gcc and qemu-system-arm are not both installed" in printed


def test_operator_that_c_has_not_is_named() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Softmax(1), nn.Flatten(), nn.Linear(4 * 24 * 24, 10))
    with pytest.raises(
        UnsupportedError, match=r"the C export has no operator Softmax \(node_softmax\); it has .*int8 ONNX"
    ):
        FORMATS["c"].export(job_of(net))


def test_folder_that_disagrees_is_not_left_behind(tmp_path: Path) -> None:
    job = make_job("lenet5")
    with pytest.raises(GateError, match=r"disagrees with its network on 64 images.*kept as net-c\.rejected"):
        export(job, "c", tmp_path / "net-c", np.full((64, 10), np.nan, np.float32))
    assert not (tmp_path / "net-c").exists()


def test_a_compiler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "nosuchcc")
    with pytest.raises(CompilerError, match=r"nosuchcc cannot be run \(No such file or directory\); name .* by \$CC"):
        toolchain.compile_c([tmp_path / "lenet.c"], tmp_path / "lenet.o", ["-c"])


def test_without_a_compiler_the_message_names_the_fix(on_digits: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CompilerError, match=r"found no C compiler .* pip install ziglang"):
        open_file(on_digits.folder)


@pytest.mark.usefixtures("compiler")
def test_classifier_takes_the_library_like_an_onnx_file(on_digits: Exported, tmp_path: Path) -> None:
    sources = [on_digits.folder / "lenet.c", on_digits.folder / "lenet_metadata.c"]
    library = Classifier(toolchain.compile_c(sources, tmp_path / "lenet.so", ["-O2", "-fPIC", "-shared"]))
    onnx = Classifier(on_digits.folder.parent / "net.int8.onnx", verify=False)
    images = [pixels[0] for pixels in on_digits.pixels[:20]]
    assert library.predict_batch(images) == onnx.predict_batch(images)
    assert library.spec == onnx.spec
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(library.logits, np.split(on_digits.pixels[:400], 100)))
    np.testing.assert_array_equal(np.concatenate(found), on_digits.logits[:400])
    assert library.logits(on_digits.pixels[:0]).shape == (0, 10)


@pytest.mark.usefixtures("compiler")
def test_library_of_an_earlier_version_is_to_be_exported_again(net: Path, tmp_path: Path) -> None:
    options = ["-O1", "-fPIC", "-shared", "-Dlenet_predict_batch=lenet_predict_many"]
    sources = [net / "lenet.c", net / "lenet_metadata.c"]
    library = toolchain.compile_c(sources, tmp_path / "lenet.so", options)
    with pytest.raises(ModelFileError, match=r"lenet_predict_batch.*by 'make' in its folder, exported by this version"):
        SharedLibrary(library)


def test_library_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lenet.so").write_bytes(b"no library")
    with pytest.raises(ModelFileError, match=r"is not a shared library of the C export .*by 'make' in its"):
        SharedLibrary(tmp_path / "lenet.so")
    with pytest.raises(ModelFileError, match=r"lenet.so is no library of the C export; build one by 'make' in its"):
        Classifier(tmp_path / "lenet.so")  # whose bytes are looked at first: nothing of it is run


@pytest.mark.usefixtures("compiler")
def test_library_runs_on_the_cpu_alone_and_is_refused_for_another_answer(on_digits: Exported, tmp_path: Path) -> None:
    text = (on_digits.folder / "lenet.c").read_text()
    at = text.index("layer5_weights[")
    (tmp_path / "lenet.c").write_text(text[:at] + text[at:].replace("= {\n    ", "= {\n    64 + ", 1))
    for name in ("lenet.h", "lenet_metadata.c"):
        shutil.copy(on_digits.folder / name, tmp_path)
    sources = [tmp_path / "lenet.c", tmp_path / "lenet_metadata.c"]
    library = toolchain.compile_c(sources, tmp_path / "lenet.so", ["-O1", "-fPIC", "-shared"])
    with pytest.raises(ModelFileError, match=r"lenet.so gives other answers here than when it was exported"):
        Classifier(library)
    with pytest.raises(ProviderError, match=r"lenet.so is compiled for the CPU, got provider 'cuda'; use provider cpu"):
        Classifier(library, provider="cuda")


# --- WebAssembly ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wasm_tools")
@pytest.mark.parametrize("recipe", ["lenet5", pytest.param("lenet5-classic", marks=pytest.mark.slow)])
def test_wasm_gives_the_same_bits_in_node(recipe: str, digits: ImageData, tmp_path: Path) -> None:
    check_wasm(digits, recipe, tmp_path)


@pytest.mark.usefixtures("wasm_tools")
@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_wasm_gives_the_same_bits_on_official_test_images(
    name: str, recipe: str, real_data: Path, tmp_path: Path
) -> None:
    check_wasm(load_dataset(name, real_data), recipe, tmp_path)


def check_wasm(data: ImageData, recipe: str, folder: Path) -> None:
    job = briefly_trained(data, recipe)
    write_own(folder / "net-wasm", FORMATS["wasm"].export(job))
    stated, model = open_file(folder / "net-wasm")
    (folder / "net.onnx").write_bytes(int8.export(job))
    expected = open_session(folder / "net.onnx").run(["logits"], {"pixels": data.test_pixels})[0]
    assert stated == "wasm"
    np.testing.assert_array_equal(model.logits(data.test_pixels), expected)
    assert (folder / "net-wasm" / "lenet.wasm").stat().st_size < 90_000
    assert (folder / "net-wasm" / "lenet.mjs").stat().st_size <= 1024


@pytest.mark.usefixtures("wasm_tools")
def test_wasm_folder_proves_itself(tmp_path: Path) -> None:
    files = FORMATS["wasm"].export(make_job("lenet5"))
    assert files == FORMATS["wasm"].export(make_job("lenet5"))
    card = {
        "dataset": "digits", "split": "test", "images": 599, "accuracy": 0.5, "accuracy_ci95": [0.4, 0.6],
        "pytorch_accuracy": 0.5, "agreement": 1.0, "accuracy_drop_pp": 0.0, "drop_ci95_pp": [-0.1, 0.1],
        "mcnemar_p": 1.0, "max_drop_pp": 0.3,
    }  # fmt: skip
    carded = wasm.seal(files, card)
    assert {name for name in files if carded[name] != files[name]} == {"lenet.json"}
    write_own(tmp_path / "net-wasm", carded)
    _, model = open_file(tmp_path / "net-wasm")
    assert json.loads(model.metadata[CARD]) == card
    damage = {
        **{name: carded[name][:600] + bytes([carded[name][600] ^ 1]) + carded[name][601:] for name in carded},
        "another label": carded["lenet.json"].replace(b'\\"0\\"', b'\\"O\\"'),
        "another layout": carded["lenet.json"].replace(b"\n", b""),
        "another card": carded["lenet.json"].replace(b'accuracy\\": 0.5', b'accuracy\\": 0.9'),
    }
    for name, content in damage.items():
        changed = {**carded, (name if name in carded else "lenet.json"): content}
        assert changed != carded
        write_own(tmp_path / "net-wasm", changed)
        with pytest.raises(GateError, match=r"net-wasm fails its own check: .* \(its seal is broken\)"):
            open_file(tmp_path / "net-wasm")


def test_other_folder_is_no_wasm_export(tmp_path: Path) -> None:
    for content in (b"{", b"[1]", b"7"):
        write_own(tmp_path / "net-wasm", {"lenet.wasm": b"", "lenet.mjs": b"", "lenet.json": content})
        with pytest.raises(ModelFileError, match=r"net-wasm is no folder of the wasm export \("):
            open_file(tmp_path / "net-wasm")
