"""The packages for boards, on this host: sources by a stand-in of the tool's header, descriptions by their keys."""

import configparser
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tools import needs, said

Folder = Callable[[str], Path]
STAND_INS = Path(__file__).parent / "stand_ins"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
SKETCHES = {"arduino": "examples/Classify/Classify.ino", "platformio": "examples/classify/src/main.cpp"}
# arduino.github.io/arduino-cli/latest/library-specification
ARDUINO_KEYS = ["name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"]
ARDUINO_CATEGORIES = (
    "Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage",
    "Data Processing", "Other",
)  # fmt: skip


def built(place: Path, network: Path, example: Path, includes: Sequence[Path], main: str = "") -> Path:
    """The example and the network as one program: the network by gcc, the example by g++ where it is C++."""
    is_c = example.suffix == ".c"
    compiler = ["gcc", "-std=c99"] if is_c else ["g++", "-std=c++11", "-x", "c++"]
    folders = [word for folder in (network.parent, example.parent, *includes) for word in ("-I", folder)]
    said("gcc", "-std=c99", *WARNINGS, "-O1", "-c", network, "-o", place / "network.o")
    said(*compiler, *WARNINGS, *folders, "-c", example, "-o", place / "example.o")
    (place / "main.cpp").write_text(main)
    said("g++", *WARNINGS, *folders, place / "main.cpp", place / "example.o", place / "network.o", "-o", place / "run")
    return place / "run"


def answered(line: str, labels: Sequence[str]) -> int:
    """The class that a line of an example says, which has to be the one that it expects."""
    found = re.match(r"answer (.+), expected (.+?)(, microseconds \d+)?$", line)
    assert found
    assert found[1] == found[2]
    return labels.index(found[1])


# --- Arduino, and the sketch that PlatformIO shares


@pytest.mark.parametrize("kind", SKETCHES)
def test_sketch_prints_the_answer_and_blinks_as_often(kind: str, packed: Folder, tmp_path: Path) -> None:
    needs("gcc", "g++")
    main = '#include "Arduino.h"\nPort Serial;\nint main() { setup(); loop(); return 0; }\n'
    program = built(tmp_path, packed(kind) / "src" / "digits.c", packed(kind) / SKETCHES[kind], [STAND_INS], main)
    baud, mode, line, *levels = said(program).splitlines()
    assert (baud, mode) == ("baud 115200", "pin 13 mode 1")
    digit = answered(line, "0123456789")
    assert digit > 0
    assert levels == ["pin 13 level 1", "pin 13 level 0"] * digit


def test_sketch_refuses_a_board_of_8_bits(packed: Folder) -> None:
    needs("g++")
    sketch = packed("arduino") / SKETCHES["arduino"]
    with pytest.raises(AssertionError, match="digits needs a board with a 32-bit processor"):
        said("g++", "-D__AVR__", "-x", "c++", "-fsyntax-only", "-I", STAND_INS, "-I", packed("arduino") / "src", sketch)


def test_library_properties_are_those_that_arduino_asks_for(packed: Folder) -> None:
    lines = (packed("arduino") / "library.properties").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines)
    assert set(ARDUINO_KEYS) <= values.keys()
    assert all(values.values())
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9 _.-]{0,62}", values["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", values["version"])
    assert values["category"] in ARDUINO_CATEGORIES
    assert values["sentence"] not in values["paragraph"]  # they are shown one behind the other
    assert (packed("arduino") / "src" / values["includes"]).is_file()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", part) for path in packed("arduino").rglob("*")
               for part in path.relative_to(packed("arduino")).parts)  # fmt: skip


def test_sketch_is_called_as_its_folder(packed: Folder) -> None:
    """Else the IDE does not open it."""
    (sketch,) = packed("arduino").rglob("*.ino")
    assert sketch.stem == sketch.parent.name


# --- PlatformIO


def test_library_json_is_what_platformio_asks_for(packed: Folder) -> None:
    folder = packed("platformio")
    document = json.loads((folder / "library.json").read_text())
    assert re.fullmatch(r"[a-z0-9_]{2,50}", document["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["version"])
    assert 0 < len(document["description"]) <= 255
    assert (folder / "src" / document["headers"]).is_file()
    for example in document["examples"]:
        assert all((folder / example["base"] / name).is_file() for name in example["files"])


def test_project_of_the_example_finds_the_library(packed: Folder) -> None:
    example = packed("platformio") / "examples" / "classify"
    project = configparser.ConfigParser(inline_comment_prefixes=None)
    project.read_string((example / "platformio.ini").read_text())
    where = project["env"]["lib_deps"].removeprefix("symlink://")
    assert (example / where / "library.json").resolve() == (packed("platformio") / "library.json").resolve()
    boards = [project[name] for name in project.sections() if name.startswith("env:")]
    assert boards
    assert all({"platform", "board"} <= set(board) for board in boards)


# --- ESP-IDF and Zephyr: the example's own CMake project, with a stand-in of the tool's


@pytest.mark.parametrize(
    ("kind", "example", "variable", "program"),
    [
        ("esp-idf", "examples/classify", "IDF_PATH", "classify"),
        ("zephyr", "samples/classify", "ZEPHYR_BASE", "app"),
    ],
)
def test_project_of_the_example_builds_and_answers(
    kind: str, example: str, variable: str, program: str, packed: Folder, tmp_path: Path
) -> None:
    needs("cmake", "make", "gcc")
    tool = STAND_INS / {"esp-idf": "idf", "zephyr": "zephyr"}[kind]
    configure = ["cmake", "-S", packed(kind) / example, "-B", tmp_path, "-G", "Unix Makefiles"]
    said(*configure, **{variable: str(tool)})
    said("cmake", "--build", tmp_path, **{variable: str(tool)})
    assert answered(said(tmp_path / program).strip(), "0123456789") > 0


def test_component_manifest_is_what_the_registry_asks_for(packed: Folder) -> None:
    """docs.espressif.com/projects/idf-component-manager: the version is what an upload needs."""
    yaml = pytest.importorskip("yaml")
    document = yaml.safe_load((packed("esp-idf") / "idf_component.yml").read_text())
    assert re.fullmatch(r"\d+\.\d+\.\d+", document["version"])
    assert document["description"]
    assert document["url"].startswith("https://")
    assert set(document["dependencies"]) == {"idf"}


def test_module_yml_names_files_that_are_there(packed: Folder) -> None:
    yaml = pytest.importorskip("yaml")
    folder = packed("zephyr")
    document = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    assert document["name"] == "lenet_edge_digits"
    assert (folder / document["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (folder / document["build"]["kconfig"]).is_file()
    assert all((folder / place).is_dir() for place in document["samples"])


def test_option_of_zephyr_is_one_in_all_its_files(packed: Folder) -> None:
    folder = packed("zephyr")
    option = "LENET_EDGE_DIGITS"
    assert f"config {option}\n" in (folder / "zephyr" / "Kconfig").read_text()
    assert f"if(CONFIG_{option})\n" in (folder / "zephyr" / "CMakeLists.txt").read_text()
    assert f"CONFIG_{option}=y\n" in (folder / "samples" / "classify" / "prj.conf").read_text()
