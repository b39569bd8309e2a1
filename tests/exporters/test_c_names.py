"""The name of a network in C: two networks in one program, what a name may be, and where it is found again."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

import lenet_edge
from command_line import CommandLine
from export_jobs import make_job, reference
from lenet_edge.runs.run import Run
from lenet_edge_exporters import FORMATS, export, formats, int8, own_files
from lenet_edge_exporters.c import emulation, naming, stated, toolchain
from lenet_edge_exporters.c.toolchain import CompilerError
from lenet_edge_exporters.c_name import LONGEST, check
from lenet_edge_exporters.export_job import Measurement
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.sessions import open_session
from tools import needs, said

RECIPES = {"digits": "lenet5", "old_digits": "lenet5-classic"}
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
IMAGES = 16
PROGRAM = """
#include "digits.h"
#include "old_digits.h"
#include "images.h"
#include <stdio.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif
int digits_test(void);
int old_digits_test(void);
#ifdef __cplusplus
}
#endif
static void print(const float *logits)
{
    for (int i = 0; i < DIGITS_CLASSES; i++) {
        unsigned bits;
        memcpy(&bits, logits + i, sizeof bits);
        printf("%u ", bits);
    }
    printf("\\n");
}
int main(void)
{
    static digits_scratch scratch;
    static old_digits_scratch old_scratch;
    float logits[DIGITS_CLASSES], old_logits[OLD_DIGITS_CLASSES];
    for (int i = 0; i < IMAGES; i++) {
        digits_predict(images + i * DIGITS_PIXELS, logits, &scratch);
        old_digits_predict(images + i * OLD_DIGITS_PIXELS, old_logits, &old_scratch);
        print(logits);
        print(old_logits);
    }
    return digits_test() + old_digits_test();
}
"""
FIRMWARE = """#include "digits.h"
int main(void)
{
    static digits_scratch scratch;
    static uint8_t pixels[DIGITS_PIXELS];
    static float logits[DIGITS_CLASSES];
    digits_predict(pixels, logits, &scratch);
    return digits_best(logits);
}
"""


@dataclass(frozen=True)
class Named:
    """A folder of the C export, images, and the logits that onnxruntime gives for them by the int8 ONNX file."""

    folder: Path
    pixels: np.ndarray
    logits: np.ndarray


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Named]:
    """Two networks by random weights, each by its name."""
    place = tmp_path_factory.mktemp("named")
    found = {}
    for name, recipe in RECIPES.items():
        job = replace(make_job(recipe), c_name=name)
        content = FORMATS["c"].export(job)
        formats.write_content(place / f"{name}-c", content)
        own_files.remember(formats.sha256_of(content))
        (place / f"{name}.onnx").write_bytes(int8.export(job))
        pixels = job.check_pixels[:IMAGES]
        logits = open_session(place / f"{name}.onnx").run(["logits"], {"pixels": pixels})[0]
        found[name] = Named(place / f"{name}-c", pixels, logits)
    return found


@pytest.fixture
def digits_c(named: dict[str, Named], tmp_path: Path) -> Path:
    """A copy of the first folder, to be changed."""
    return Path(shutil.copytree(named["digits"].folder, tmp_path / "net-c"))


# --- two networks in one program


@pytest.mark.parametrize(("compiler", "suffix"), [("gcc -std=c99", "c"), ("g++ -std=c++17", "cpp")])
def test_two_networks_go_into_one_program(compiler: str, suffix: str, named: dict[str, Named], tmp_path: Path) -> None:
    """Each passes its self-test there, and gives onnxruntime's logits, bit for bit."""
    needs("gcc", compiler.split()[0])
    folders = [option for net in named.values() for option in ("-I", net.folder)]
    objects = [item for name, net in named.items() for item in objects_of(name, net.folder, tmp_path)]
    (tmp_path / "images.h").write_text(emulation.c_images(named["digits"].pixels))
    (tmp_path / f"main.{suffix}").write_text(PROGRAM)
    program = tmp_path / "program"
    said(*compiler.split(), *WARNINGS, *folders, tmp_path / f"main.{suffix}", *objects, "-o", program)
    lines = said(program).splitlines()
    assert [line for line in lines if "known answers" in line] == ["PASS: 16 of 16 known answers"] * 2
    found = np.array([line.split() for line in lines[: 2 * IMAGES]], np.uint32).view(np.float32)
    for start, net in enumerate(named.values()):
        np.testing.assert_array_equal(found[start::2], net.logits)


def objects_of(name: str, folder: Path, place: Path) -> Iterator[Path]:
    """The network and its self-test, whose main takes another name."""
    for source, options in ((f"{name}.c", []), (f"{name}_selftest.c", [f"-Dmain={name}_test"])):
        built = place / f"{source}.o"
        flags = [*WARNINGS, "-Wno-missing-prototypes", "-O1", *options, "-c"]
        yield toolchain.compile_c([folder / source], built, flags, ["gcc"])


def test_two_networks_of_one_name_do_not_link(digits_c: Path, named: dict[str, Named], tmp_path: Path) -> None:
    needs("gcc")
    objects = [
        toolchain.compile_c([folder / "digits.c"], tmp_path / f"{number}.o", ["-c"], ["gcc"])
        for number, folder in enumerate((digits_c, named["digits"].folder))
    ]
    linked = subprocess.run(["gcc", "-r", *objects, "-o", tmp_path / "both.o"], capture_output=True, check=False)
    assert linked.returncode != 0
    assert b"multiple definition of `digits_predict'" in linked.stderr


def test_cmake_takes_two_networks_into_a_project(named: dict[str, Named], tmp_path: Path) -> None:
    needs("cmake", "gcc")
    folders = [f'add_subdirectory("{net.folder}" {name})' for name, net in named.items()]
    lines = ["cmake_minimum_required(VERSION 3.10)", "project(parent LANGUAGES C)", *folders]
    lines += ["add_library(both STATIC both.c)", "target_link_libraries(both PRIVATE digits old_digits)"]
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    (tmp_path / "both.c").write_text('#include "digits.h"\n#include "old_digits.h"\n')
    said("cmake", "-S", tmp_path, "-B", tmp_path / "out", "-G", "Unix Makefiles")
    targets = said("cmake", "--build", tmp_path / "out", "--target", "help")
    assert {"both", "digits", "old_digits"} <= set(targets.split())


# --- what the folder says


def test_nothing_in_the_folder_is_called_lenet(named: dict[str, Named]) -> None:
    folder = named["old_digits"].folder
    assert {path.name for path in folder.iterdir()} == {
        "old_digits.h", "old_digits.c", "old_digits_selftest.c", "old_digits_metadata.c", "Makefile", "CMakeLists.txt",
        "README.md",
    }  # fmt: skip
    for path in folder.iterdir():
        rest = re.sub(r"lenet-edge|lenet_edge_runtime|lenet5-classic", "", path.read_text())
        assert not re.search("lenet", rest, re.IGNORECASE), path.name


def test_linker_sees_no_other_names(digits_c: Path, tmp_path: Path) -> None:
    needs("gcc", "nm")
    built = toolchain.compile_c([digits_c / "digits.c"], tmp_path / "digits.o", ["-O1", "-c"], ["gcc"])
    symbols = {line.split()[-1] for line in said("nm", "-g", "--defined-only", built).splitlines()}
    assert symbols == {f"digits_{name}" for name in ("predict", "predict_batch", "best", "known", "labels", "identity")}


def test_default_name_is_the_only_difference_and_takes_the_place_of_the_name_before(digits_c: Path) -> None:
    """The files of another name go, those of the user and of `make` stay."""
    needs("gcc")
    for name in ("main.c", "digits.so"):
        (digits_c / name).write_text("mine")
    named = {file: (digits_c / file).read_bytes() for file in naming.files("digits")}
    job = replace(make_job("lenet5"), measure=lambda _: Measurement(card=None, passed=True))
    export(job, "c", digits_c, reference(job))
    assert {path.name for path in digits_c.iterdir()} == {*naming.files("lenet"), "main.c", "digits.so"}
    for file, content in named.items():
        if file != "digits_metadata.c":  # where it is recorded
            default = (digits_c / file.replace("digits", "lenet")).read_bytes()
            assert content == re.sub(rb"lenet(?![-0-9]|_edge)", b"digits", default).replace(b"LENET", b"DIGITS")


def test_library_made_by_its_makefile_is_opened(named: dict[str, Named], digits_c: Path) -> None:
    """By the functions that it says it has, whatever the file is called."""
    needs("make", "gcc")
    said("make", "-C", digits_c, "CFLAGS=-O1", "digits.so")
    library = Classifier((digits_c / "digits.so").rename(digits_c / "network.so"))
    np.testing.assert_array_equal(library.logits(named["digits"].pixels), named["digits"].logits)


def test_library_of_two_networks_is_refused(named: dict[str, Named], tmp_path: Path) -> None:
    needs("gcc")
    sources = [net.folder / f"{name}{end}.c" for name, net in named.items() for end in ("", "_metadata")]
    library = toolchain.compile_c(sources, tmp_path / "both.so", ["-fPIC", "-shared"], ["gcc"])
    with pytest.raises(ModelFileError, match=r"more than one network \(digits, old_digits\): build one"):
        Classifier(library)


def test_footprint_is_found_by_the_name(named: dict[str, Named]) -> None:
    needs(emulation.COMPILER, emulation.EMULATOR)
    row, folder = FORMATS["c"], named["digits"].folder
    assert row.footprint
    found = row.footprint(folder, row.load(folder, 1))
    assert found["not_counted"] is None
    assert found["cortex_m4_instructions"] > found["macs"]


# --- which network a program holds

SMALLEST = ["-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
ON_A_BOARD = [*emulation.CORTEX_M4, *emulation.BARE, "-Os", *SMALLEST]
LINKING = {
    "Cortex-M4": (emulation.COMPILER, ON_A_BOARD),
    "Cortex-M4, -flto": (emulation.COMPILER, [*ON_A_BOARD, "-flto"]),
    "gcc -O2": ("gcc", ["-O2"]),
    "gcc -O2 -flto": ("gcc", ["-O2", "-flto", *SMALLEST]),
}


@pytest.mark.parametrize("how", LINKING)
def test_program_says_what_it_holds(how: str, named: dict[str, Named], tmp_path: Path) -> None:
    """As `strings FILE | grep lenet-edge` finds it, though nothing but the network's own code names the string."""
    compiler, options = LINKING[how]
    needs(compiler)
    folder = named["digits"].folder
    (tmp_path / "main.c").write_text(FIRMWARE)
    sources, flags = [tmp_path / "main.c", folder / "digits.c"], ["-I", str(folder), *options]
    if compiler == "gcc":
        program = toolchain.compile_c(sources, tmp_path / "program", flags, [compiler])
    else:
        program = emulation.build(sources, tmp_path / "program", flags)
    header = (folder / "digits.h").read_text()
    version, sha256 = (re.search(f'{macro} "(.*)"', header) for macro in ("EXPORTER_VERSION", "WEIGHTS_SHA256"))
    assert version
    assert sha256
    found = re.findall(rb"lenet-edge [ -~]*", program.read_bytes())
    assert found == [f"lenet-edge {version[1]} digits {sha256[1]}".encode()]


def test_saying_so_takes_a_hundred_bytes_of_flash(digits_c: Path, tmp_path: Path) -> None:
    needs(emulation.COMPILER)

    def flash() -> int:
        flags = [*emulation.CORTEX_M4, *emulation.BARE, "-Os", "-c"]
        built = toolchain.compile_c([digits_c / "digits.c"], tmp_path / "n.o", flags, [emulation.COMPILER])
        return toolchain.loaded_bytes(built.read_bytes())

    whole = flash()
    lines = (digits_c / "digits.c").read_text().splitlines(keepends=True)
    (digits_c / "digits.c").write_text("".join(line for line in lines if "digits_identity" not in line))
    assert 0 < whole - flash() <= 104


# --- what a name may be


@pytest.mark.parametrize("name", ["digits", "net_2", "ab", "a" * LONGEST, "lenet"])
def test_name_is_taken(name: str) -> None:
    check(name)


@pytest.mark.parametrize(
    "name", ["", "a", "2nd", "Digits", "di gits", "di-gits", "_net", "net_", "my__net", "a" * 23, "ziffern\n", "größe"]
)
def test_name_that_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is 2 to 22 lower-case letters, .*; got "):
        replace(make_job("lenet5"), c_name=name)


@pytest.mark.parametrize("name", ["int", "restrict", "namespace", "and_eq", "string", "stdint", "test", "int8", "size"])
def test_name_that_is_taken_in_c_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is taken in C, C.., their libraries or CMake; .* as {name}_net"):
        check(name)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--format", "c", "--name", "2nd"], "a network's name in C is 2 to 22 lower-case letters"),
        (["--format", "c", "--name", "class"], "class is taken in C"),
        (
            ["--format", "wasm", "--name", "digits"],
            "the name digits is for a folder of C, and none is exported: add the format c",
        ),
        (["--name", "digits"], "the name digits is for a folder of C, and none is exported: add the format c"),
    ],
)
def test_name_that_cannot_be_is_a_usage_error(options: list[str], complaint: str, cli: CommandLine) -> None:
    failed = cli("export", *options)
    assert failed.exit_code == 2
    assert f"Error: Invalid value: --name: {complaint}" in failed.stderr


# --- where it is found again


def test_file_renamed_by_hand_is_not_what_its_metadata_says(digits_c: Path) -> None:
    source = (digits_c / "digits_metadata.c").read_text()
    (digits_c / "numbers_metadata.c").write_text(source.replace("digits_metadata", "numbers_metadata"))
    (digits_c / "digits_metadata.c").unlink()
    with pytest.raises(ModelFileError, match=r"numbers_metadata.c says that its network is called digits: export"):
        stated.read_c(digits_c)


def test_folder_of_two_networks_is_refused(digits_c: Path, named: dict[str, Named]) -> None:
    shutil.copytree(named["old_digits"].folder, digits_c, dirs_exist_ok=True)
    with pytest.raises(ModelFileError, match=r"holds more than one network \(digits, old_digits\): export each to its"):
        stated.read_c(digits_c)


def test_files_of_a_user_are_no_network(digits_c: Path) -> None:
    (digits_c / "my_metadata.c").write_text("int my_metadata(void);\n")
    assert naming.names_in(digits_c) == ["digits"]
    assert "my_metadata.c" not in naming.files_in(digits_c)


def test_source_that_does_not_compile_is_named(digits_c: Path) -> None:
    needs("gcc")
    (digits_c / "digits.c").write_text("#error no\n")
    with pytest.raises(CompilerError, match=r"does not compile digits.c"):
        FORMATS["c"].load(digits_c, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("c_folder")  # what skips without a compiler
def test_run_is_exported_by_its_name_and_verified(digits_run: Run, cli: CommandLine, tmp_path: Path) -> None:
    words = ("--format", "c", "--max-drop", "100", "--out", tmp_path / "out")
    assert cli("export", digits_run.folder, *words, "--name", "digits").exit_code == 0
    (folder,) = (tmp_path / "out").glob("*-c")
    assert cli("verify", folder, "--run", digits_run.folder, "--max-drop", "100").exit_code == 0
    report = lenet_edge.export(digits_run.folder, ["c"], out=tmp_path / "out", max_drop_pp=100, c_name="numbers")
    assert report.artifacts[0].path == folder
    assert {path.name for path in folder.iterdir()} == set(naming.files("numbers"))
    with pytest.raises(ValueError, match=r"the name numbers is for a folder of C"):
        lenet_edge.export(digits_run.folder, ["onnx"], out=tmp_path / "out", c_name="numbers")
