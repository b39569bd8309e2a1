"""The C export against onnxruntime: the same logits, bit for bit, in every build that this machine can make."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from test_exporters import make_job
from test_integer_reference import briefly_trained
from torch import nn

from lenet_edge.datasets import ImageData, load_dataset
from lenet_edge_exporters import FORMATS, ExportJob, export, formats, int8, open_file
from lenet_edge_exporters.atomic import write_folder
from lenet_edge_exporters.c import toolchain, wasm
from lenet_edge_exporters.c.program import UnsupportedError
from lenet_edge_exporters.c.toolchain import WARNINGS, CompilerError
from lenet_edge_runtime import Classifier, ModelSpec
from lenet_edge_runtime.errors import GateError, ModelFileError, ProviderError
from lenet_edge_runtime.proof import CARD
from lenet_edge_runtime.sessions import open_session
from lenet_edge_runtime.shared_library import SharedLibrary

FIRMWARE = Path(__file__).parent / "firmware"
ALL, SOME = 10_000, 1_000  # images: natively, and under emulation
CLANG = ("-ffreestanding", "-nostdlib", "-static", "-fuse-ld=lld")
CORTEX = ("-mthumb", "-ffreestanding", "-nostdlib", "-T", str(FIRMWARE / "cortex_m.ld"))


@dataclass(frozen=True)
class Build:
    """How the network is compiled, and where it runs."""

    tools: tuple[str, ...]
    options: tuple[str, ...]
    runner: tuple[str, ...] = ()  # of a Linux program; a board of qemu-system-arm; nothing: this process

    @property
    def images(self) -> int:
        return SOME if self.runner else ALL


def board(name: str, *options: str) -> Build:
    return Build(("arm-none-eabi-gcc", "qemu-system-arm"), (*options, *CORTEX), ("qemu-system-arm", "-machine", name))


def linux(processor: str, *options: str) -> Build:
    return Build(("clang", "ld.lld", f"qemu-{processor}"), (*options, *CLANG), (f"qemu-{processor}",))


HARD_FLOAT = ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
BUILDS = {
    **{
        f"{compiler} {' '.join(options)}": Build((compiler,), options)
        for compiler in ("gcc", "clang")
        for options in (
            ("-O0",), ("-O2",), ("-O3", "-march=native"), ("-O2", "-mavx2"),
            ("-O3", "-march=native", "-DLENET_PLAIN_C"),
        )
    },
    "gcc -O3 -std=gnu17 -march=native, contracting": Build(
        ("gcc",), ("-O3", "-std=gnu17", "-march=native", "-DLENET_PLAIN_C", "-ffp-contract=fast")
    ),
    "aarch64": linux("aarch64", "--target=aarch64-linux-gnu", "-O2"),
    "arm": linux("arm", "--target=armv7-linux-gnueabihf", "-mfpu=neon", "-mfloat-abi=hard", "-O2"),
    "riscv64": linux("riscv64", "--target=riscv64-linux-gnu", "-march=rv64gc", "-mabi=lp64d", "-O2"),
    "riscv32": linux("riscv32", "--target=riscv32-linux-gnu", "-march=rv32gc", "-mabi=ilp32d", "-O2"),
    "Cortex-M0": board("mps2-an385", "-mcpu=cortex-m0", "-Os"),
    "Cortex-M3": board("mps2-an385", "-mcpu=cortex-m3", "-Os"),
    "Cortex-M4": board("mps2-an386", "-mcpu=cortex-m4", *HARD_FLOAT, "-O2"),
}  # fmt: skip


# Everything else takes minutes.
FAST = ("gcc -O2", "gcc -O2 -mavx2")


@dataclass(frozen=True)
class Exported:
    """A folder of the C export, images, and the logits that onnxruntime gives for them by the int8 ONNX file."""

    folder: Path
    pixels: np.ndarray
    logits: np.ndarray

    def first(self, images: int) -> "Exported":
        return Exported(self.folder, self.pixels[:images], self.logits[:images])


def exported(job: ExportJob, pixels: np.ndarray, folder: Path) -> Exported:
    write_folder(folder / "net-c", FORMATS["c"].export(job))
    (folder / "net.int8.onnx").write_bytes(int8.export(job))  # with its first convolution rewritten for onnxruntime
    logits = open_session(folder / "net.int8.onnx").run(["logits"], {"pixels": pixels})[0]
    return Exported(folder / "net-c", pixels, logits)


@pytest.fixture(scope="session", params=["lenet5", "lenet5-classic"])
def on_digits(request: pytest.FixtureRequest, digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    job = briefly_trained(digits, request.param)
    return exported(job, digits.test_pixels, tmp_path_factory.mktemp("c"))


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


def logits_of(build: Build, net: Exported, folder: Path) -> np.ndarray:
    """Compile and run; skips where a tool is missing."""
    for tool in build.tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    sources = [net.folder / "lenet.c"]
    if not build.runner:
        library = [*sources, net.folder / "lenet_metadata.c"]
        options = ["-fPIC", "-shared", *build.options]
        return SharedLibrary(toolchain.compile_c(library, folder / "lenet.so", options, [build.tools[0]])).logits(
            net.pixels
        )
    on_board = "-machine" in build.runner
    sources += [FIRMWARE / ("cortex_m.c" if on_board else "linux.c"), FIRMWARE / "memory.c"]
    header = Path(toolchain.__file__).parent / "templates"
    options = ["-isystem", str(header), "-I", str(net.folder), *build.options, *(["-lgcc"] if on_board else [])]
    program = compile_in_order(build.tools[0], sources, folder / "program", options)
    if not on_board:
        done = subprocess.run(
            [*build.runner, str(program)], input=net.pixels.tobytes(), capture_output=True, check=True, timeout=600
        )
        return np.frombuffer(done.stdout, "<f4").reshape(len(net.pixels), -1)
    net.pixels.tofile(folder / "images.bin")
    emulate(build, program, folder)
    return np.fromfile(folder / "logits.bin", "<f4").reshape(len(net.pixels), -1)


def compile_in_order(compiler: str, sources: list[Path], output: Path, options: list[str]) -> Path:
    """Libraries stand behind the sources that need them."""
    behind = [option for option in options if option.startswith("-l")]
    before = [option for option in options if option not in behind]
    done = subprocess.run(
        [compiler, *WARNINGS, *before, *map(str, sources), *behind, "-o", str(output)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return output


def emulate(build: Build, program: Path, folder: Path) -> str:
    command = [*build.runner, "-nographic", "-monitor", "none", "-serial", "none", "-kernel", str(program)]
    semihosting = ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run([*command, *semihosting], cwd=folder, capture_output=True, text=True, timeout=600, check=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in BUILDS]
)
def test_same_bits_on_digits(name: str, on_digits: Exported, tmp_path: Path) -> None:
    net = on_digits if BUILDS[name].images == ALL else on_digits.first(100)
    np.testing.assert_array_equal(logits_of(BUILDS[name], net, tmp_path), net.logits)


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


@pytest.mark.parametrize("name", NETS)
def test_same_bits_for_other_nets(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = NETS[name]()
    channels = net[0].in_channels
    spec = ModelSpec(tuple("0123456789"), 28, 28, (0.13,) * channels, (0.3,) * channels)
    pixels = np.random.default_rng(0).integers(0, 256, (100, channels, 28, 28), dtype=np.uint8)
    found = exported(ExportJob(net.eval(), spec, pixels, pixels), pixels, tmp_path)
    for build in FAST:
        np.testing.assert_array_equal(logits_of(BUILDS[build], found, tmp_path), found.logits)


@pytest.mark.parametrize("compiler", ["gcc", pytest.param("clang", marks=pytest.mark.slow)])
def test_self_test_passes_under_sanitizers_and_finds_one_flipped_weight(
    compiler: str, on_digits: Exported, tmp_path: Path
) -> None:
    for tool in (compiler, "make"):
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


def test_firmware_for_a_cortex_m4_names_ten_digits(on_digits: Exported, digits: ImageData, tmp_path: Path) -> None:
    build = BUILDS["Cortex-M4"]
    firsts = [int(np.flatnonzero(digits.test_labels == label)[0]) for label in range(10)]
    pixels = ", ".join(map(str, digits.test_pixels[firsts].reshape(-1)))
    names = ", ".join(f'"{label}"' for label in range(10))
    (tmp_path / "digits.h").write_text(
        f"enum {{ DIGITS = 10 }};\nstatic const uint8_t digits[] = {{{pixels}}};\n"
        f"static const char *const names[DIGITS] = {{{names}}};\n"
    )
    firmware = Build(build.tools, (*build.options, "-DBOARD_TEN_DIGITS", "-I", str(tmp_path)), build.runner)
    for tool in build.tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    sources = [on_digits.folder / "lenet.c", FIRMWARE / "cortex_m.c", FIRMWARE / "memory.c"]
    header = Path(toolchain.__file__).parent / "templates"
    options = ["-isystem", str(header), "-I", str(on_digits.folder), *firmware.options, "-lgcc"]
    program = compile_in_order(build.tools[0], sources, tmp_path / "firmware.elf", options)
    predicted = on_digits.logits[firsts].argmax(1)
    assert emulate(firmware, program, tmp_path).splitlines() == [
        f"digit {label}: {predicted[label]}" for label in range(10)
    ]


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


@pytest.mark.usefixtures("compiler")
def test_default_net_fits_into_75_kilobytes_of_flash_and_4_of_ram(files: Mapping[str, bytes], tmp_path: Path) -> None:
    write_folder(tmp_path / "net-c", files)
    found = FORMATS["c"].footprint(tmp_path / "net-c", FORMATS["c"].load(tmp_path / "net-c", 1))
    assert found["macs"] == 416_520
    assert found["scratch_bytes"] <= 4096
    assert found["constant_bytes"] < found["flash_bytes"] <= 75_000


def test_operator_that_c_has_not_is_named() -> None:
    with pytest.raises(UnsupportedError, match=r"the C export has no operator Mul \(node_mul\); it has .*int8 ONNX"):
        FORMATS["c"].export(make_job("user's own"))


@pytest.mark.usefixtures("compiler")
def test_folder_that_disagrees_is_not_left_behind(tmp_path: Path) -> None:
    job = make_job("lenet5")
    with pytest.raises(GateError, match=r"disagrees with the PyTorch model on 64 images.*not written"):
        export(job, "c", tmp_path / "net-c", np.full((64, 10), np.nan, np.float32))
    assert list(tmp_path.iterdir()) == []


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


def test_library_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lenet.so").write_bytes(b"no library")
    with pytest.raises(ModelFileError, match=r"is not a shared library of the C export .*'make lenet.so'"):
        SharedLibrary(tmp_path / "lenet.so")
    with pytest.raises(ModelFileError, match=r"lenet.so is no library of the C export; build one by 'make lenet.so'"):
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
    write_folder(folder / "net-wasm", FORMATS["wasm"].export(job))
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
    carded = wasm.seal(files, {"accuracy": 0.5})
    assert {name for name in files if carded[name] != files[name]} == {"lenet.json"}
    write_folder(tmp_path / "net-wasm", carded)
    _, model = open_file(tmp_path / "net-wasm")
    assert json.loads(model.metadata[CARD]) == {"accuracy": 0.5}
    damage = {
        **{name: carded[name][:600] + bytes([carded[name][600] ^ 1]) + carded[name][601:] for name in carded},
        "another label": carded["lenet.json"].replace(b'\\"0\\"', b'\\"O\\"'),
        "another layout": carded["lenet.json"].replace(b"\n", b""),
        "another card": carded["lenet.json"].replace(b"0.5", b"0.9"),
    }
    for name, content in damage.items():
        changed = {**carded, (name if name in carded else "lenet.json"): content}
        assert changed != carded
        write_folder(tmp_path / "net-wasm", changed)
        with pytest.raises(GateError, match=r"net-wasm does not prove itself: .* \(its seal is broken\)"):
            open_file(tmp_path / "net-wasm")


def test_other_folder_is_no_wasm_export(tmp_path: Path) -> None:
    for content in (b"{", b"[1]", b"7"):
        write_folder(tmp_path / "net-wasm", {"lenet.wasm": b"", "lenet.mjs": b"", "lenet.json": content})
        with pytest.raises(ModelFileError, match=r"net-wasm is no folder of the wasm export \("):
            open_file(tmp_path / "net-wasm")
