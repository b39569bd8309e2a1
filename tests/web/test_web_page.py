"""The page's folder: what it holds, where its engine comes from, and what is refused. No browser."""

import base64
import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from command_line import CommandLine
from lenet_edge.runs.run import Run
from lenet_edge.web import onnxruntime_web
from lenet_edge.web.engines import ENGINES
from lenet_edge.web.onnxruntime_web import DEFAULT_CDN, FILES, FOLDER, VERSION, PinnedFile
from lenet_edge.web.page import write_page
from lenet_edge.web.static_files import PAGE, static_file
from lenet_edge_exporters.c import toolchain
from lenet_edge_runtime import LenetEdgeError, onnx_file
from lenet_edge_runtime.proof import KNOWN_ANSWERS, KnownAnswers
from trained_runs import exported

STATIC = Path(__file__).parents[2] / "lenet_edge" / "web" / "static"


@pytest.fixture
def model(digits_run: Run) -> Path:
    return exported(digits_run, "int8")


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, with an npm that packs two small files; they are those that are pinned."""
    contents = {row.name: f"// {row.name}".encode() for row in FILES}
    pins = tuple(PinnedFile(name, len(text), hashlib.sha256(text).hexdigest()) for name, text in contents.items())
    monkeypatch.setattr(onnxruntime_web, "FILES", pins)
    folder = tmp_path / "bin"
    folder.mkdir()
    write_archive(folder / "package.tgz", contents)
    script = folder / "npm"
    script.write_text(
        f'#!/bin/sh\nfor last; do :; done\necho "$@" > {folder}/asked\n/bin/cp {folder}/package.tgz "$last"/\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_archive(path: Path, contents: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- what it holds -------------------------------------------------------------------------------------------------


def test_same_model_gives_the_same_bytes(engine: str, shown: Path, tmp_path: Path, npm: Path) -> None:
    write_page(shown, tmp_path / "one", engine)
    write_page(shown, tmp_path / "two", engine)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_every_file_stands_in_the_list_with_its_hash(engine: str, shown: Path, tmp_path: Path, npm: Path) -> None:
    page = write_page(shown, tmp_path / "page", engine)
    files = tree(tmp_path / "page")
    listed = json.loads(files.pop("files.json"))
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert page.files == len(files) + 1


def test_model_is_the_file_itself(engine: str, shown: Path, tmp_path: Path, npm: Path) -> None:
    write_page(shown, tmp_path / "page", engine)
    files = tree(tmp_path / "page")
    said = json.loads(files["model.json"])
    network = shown / "lenet.wasm" if shown.is_dir() else shown
    content = network.read_bytes()
    assert files[network.name] == content
    assert said["file"] == network.name
    assert (said["bytes"], said["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert said["engine"]["sha256"] == said["sha256"]
    assert (said["labels"], said["height"], said["width"]) == (list("0123456789"), 28, 28)
    assert (said["polarity"], said["fit"]) == ("light-on-dark", "mnist")
    assert said["title"] == f"lenet5 on digits, {ENGINES[engine].format}"
    assert {"images": 599, "split": "test", "dataset": "digits"}.items() <= said["accuracy"].items()


def test_known_answers_are_those_of_the_int8_file(
    engine: str, shown: Path, model: Path, tmp_path: Path, npm: Path
) -> None:
    write_page(shown, tmp_path / "page", engine)
    said = json.loads((tmp_path / "page" / "known-answers.json").read_bytes())
    known = KnownAnswers.from_json(onnx_file.metadata_of(model.read_bytes())[KNOWN_ANSWERS])
    assert base64.b64decode(said["pixels"]) == known.pixels.tobytes()
    assert base64.b64decode(said["logits"]) == known.logits.astype("<f4").tobytes()
    assert (said["shape"], said["tolerance"]) == (list(known.pixels.shape), 0)


def test_no_local_path_and_no_time_stands_in_it(engine: str, shown: Path, tmp_path: Path, npm: Path) -> None:
    write_page(shown, tmp_path / "page", engine)
    whole = b"\n".join(tree(tmp_path / "page").values())
    for text in (
        str(tmp_path),
        str(Path.home()),
        str(Path(__file__).parents[2]),
        "{{address}}",
        "{{pinned}}",
        "{{scripts}}",
        "{{origin}}",
        "{{other}}",
    ):
        assert text.encode() not in whole
    assert not re.search(rb"20\d\d-\d\d-\d\d", whole)


def test_every_own_file_is_written(model: Path, tmp_path: Path) -> None:
    others = {"engine-ort.mjs", "onnxruntime-here.mjs", "onnxruntime-elsewhere.mjs"}
    assert {path.name for path in STATIC.iterdir()} == {*PAGE, *others}
    write_page(model, tmp_path / "page", cdn=DEFAULT_CDN)
    assert set(tree(tmp_path / "page")) == {
        *PAGE, "engine.mjs", "onnxruntime.mjs", "model.json", "known-answers.json", "files.json", model.name,
    }  # fmt: skip


@pytest.mark.parametrize("engine", ["wasm"], indirect=True)
def test_webassembly_of_its_own_is_two_files(shown: Path, tmp_path: Path) -> None:
    page = write_page(shown, tmp_path / "page", "wasm")
    files = tree(tmp_path / "page")
    assert set(files) == {*PAGE, "lenet.wasm", "lenet.mjs", "model.json", "known-answers.json", "files.json"}
    assert files["lenet.mjs"] == (shown / "lenet.mjs").read_bytes()
    plain = re.sub(rb"{{(scripts|origin|other)}}", b"", static_file("index.html"))
    assert files["index.html"] == plain
    assert b"onnxruntime" not in b"".join(files.values()).lower()
    loaded = len(files["lenet.wasm"]) + len(files["lenet.mjs"])
    assert json.loads(files["model.json"])["engine"]["bytes"] == loaded < 90_000
    assert page.remark.startswith(f"lenet.wasm and lenet.mjs: {loaded / 1e3:.1f} kB")


# --- where the engine comes from -----------------------------------------------------------------------------------


def test_npm_vendors_the_pinned_files(model: Path, tmp_path: Path, npm: Path) -> None:
    page = write_page(model, tmp_path / "page")
    files = tree(tmp_path / "page")
    assert {name for name in files if "/" in name} == {f"{FOLDER}/{row.name}" for row in FILES}
    assert f'from "./{FOLDER}/ort.wasm.bundle.min.mjs"'.encode() in files["onnxruntime.mjs"]
    assert b"connect-src 'self';" in files["index.html"]
    assert b"reach no server but its own." in files["index.html"]
    assert page.remark.endswith(f"MB in {FOLDER}/, fetched by npm")
    assert f"pack onnxruntime-web@{VERSION} " in (npm / "asked").read_text()


def test_without_npm_the_cdn_is_used_and_that_is_said(model: Path, tmp_path: Path, cli: CommandLine, npm: Path) -> None:
    (npm / "npm").unlink()
    result = cli("export", model, "--web", tmp_path / "page")
    assert result.exit_code == 0, result.output
    assert f"{DEFAULT_CDN}; npm is not installed, so the page loads it from there" in result.stderr
    files = tree(tmp_path / "page")
    assert f'const address = "{DEFAULT_CDN}"'.encode() in files["onnxruntime.mjs"]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', files["index.html"].decode())
    assert policy
    assert "script-src 'self' 'wasm-unsafe-eval' blob:;" in policy[1]  # nothing is run from there unchecked
    assert "connect-src 'self' https://cdn.jsdelivr.net;" in policy[1]
    assert b"reach no server but its own and https://cdn.jsdelivr.net." in files["index.html"]


def test_cdn_is_an_option(model: Path, tmp_path: Path, cli: CommandLine, npm: Path) -> None:
    result = cli("export", model, "--web", tmp_path / "page", "--cdn", "https://example.org/ort", "--json")
    assert "https://example.org/ort/; the page loads it from there, because --cdn was given" in result.stderr
    given = tree(tmp_path / "page")["onnxruntime.mjs"].decode()
    assert 'const address = "https://example.org/ort/";' in given
    assert "import * as" not in given
    for row in onnxruntime_web.FILES:
        digest = hashlib.sha256(f"// {row.name}".encode()).digest()
        assert f'"{row.name}": "sha256-{base64.b64encode(digest).decode()}"' in given
    assert set(json.loads(result.stdout)["web"]) == {"folder", "model", "engine", "files", "bytes", "remark"}
    assert not (npm / "asked").exists()


@pytest.mark.parametrize("address", ["vendor/", "ftp://x/", 'https://x/";alert(1)//', "https://x/ 'unsafe-inline'"])
def test_address_that_is_none_is_refused(address: str, model: Path, cli: CommandLine) -> None:
    message = cli.fails("export", model, "--web", "page", "--cdn", address)
    assert "--cdn is the address of a folder, such as https://" in message
    assert not Path("page").exists()


def test_npm_that_fails_is_no_reason_to_fall_back(model: Path, cli: CommandLine, npm: Path) -> None:
    (npm / "npm").write_text("#!/bin/sh\necho 'npm error network is down' >&2\nexit 1\n")
    message = cli.fails("export", model, "--web", "page")
    assert f"npm could not fetch onnxruntime-web@{VERSION} (npm error network is down)" in message
    assert f"or give --cdn {DEFAULT_CDN}" in message


def test_package_that_is_not_the_pinned_one_is_refused(model: Path, cli: CommandLine, npm: Path) -> None:
    write_archive(npm / "package.tgz", {row.name: b"// other" for row in FILES})
    assert f"{FILES[0].name} is not the pinned version's file" in cli.fails("export", model, "--web", "page")


# --- from the command line -----------------------------------------------------------------------------------------


def test_export_of_a_run_adds_int8_and_the_page(digits_run: Run, cli: CommandLine) -> None:
    result = cli("export", digits_run.folder, "--format", "onnx", "--out", "out", "--web", "page", "--cdn", DEFAULT_CDN)
    assert result.exit_code == 0, result.output
    assert "next: lenet-edge serve page" in result.stderr
    assert Path("page/lenet5-digits.int8.onnx").read_bytes() == Path("out/lenet5-digits.int8.onnx").read_bytes()


@pytest.mark.parametrize("engine", ["wasm"], indirect=True)
def test_page_of_a_run_and_of_its_exported_folder_are_the_same(
    shown: Path, digits_run: Run, tmp_path: Path, cli: CommandLine
) -> None:
    result = cli(
        "export", digits_run.folder, "--format", "onnx", "--out", "out", "--web", "page", "--engine", "wasm", "--json"
    )
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [item["format"] for item in document["artifacts"]] == ["onnx", "wasm"]
    assert (document["web"]["engine"], document["web"]["model"]) == ("wasm", "out/lenet5-digits-wasm")
    again = cli("export", "out/lenet5-digits-wasm", "--web", "again", "--engine", "wasm")
    assert again.exit_code == 0, again.output
    assert "next: lenet-edge serve again" in again.stderr
    assert tree(tmp_path / "page") == tree(tmp_path / "again")
    assert tree(tmp_path / "page")["lenet.wasm"] == (shown / "lenet.wasm").read_bytes()


@pytest.mark.parametrize("engine", ["wasm"], indirect=True)
def test_file_and_engine_that_do_not_fit(shown: Path, model: Path, cli: CommandLine) -> None:
    assert (
        f"{model} is run by --engine ort, not by wasm: give --engine ort, or a run instead, which is then exported "
        f"for wasm"
    ) in cli.fails("export", model, "--web", "page", "--engine", "wasm")
    assert "net-wasm is run by --engine wasm, not by ort: give --engine wasm, or a run" in cli.fails(
        "export", shutil.copytree(shown, "net-wasm"), "--web", "page"
    )
    assert not Path("page").exists()


def test_engine_that_loads_nothing_takes_no_cdn(digits_run: Run, cli: CommandLine) -> None:
    message = cli.fails("export", digits_run.folder, "--web", "page", "--engine", "wasm", "--cdn", DEFAULT_CDN)
    assert "--cdn says where onnxruntime-web is, which --engine wasm does not use: leave --cdn out" in message


def test_without_a_compiler_the_command_says_what_to_install(
    digits_run: Run, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain.shutil, "which", lambda name: None)
    found = toolchain.importlib.util.find_spec
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda name: found(name) if name != "ziglang" else None)
    options = ["--format", "onnx", "--out", "out", "--web", "page", "--engine", "wasm"]
    message = cli.fails("export", digits_run.folder, *options)
    assert "found nothing that compiles C to WebAssembly (clang with lld, or ziglang); try: pip install" in message
    assert not Path("page").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "ort"], "--engine and --cdn go with --web"),
        (["--cdn", DEFAULT_CDN], "--engine and --cdn go with --web"),
        (["--web", "page", "--engine", "gpu"], f"--engine is one of {', '.join(ENGINES)}, got 'gpu'"),
    ],
)
def test_options_that_do_not_fit(options: list[str], message: str, model: Path, cli: CommandLine) -> None:
    result = cli("export", model, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (["--format", "c", "--out", "out"], "--format, --out"),
        (["--int8"], "--int8"),
        (["--opset", "18"], "--opset"),
        (["--seed", "0", "--input", "uint8"], "--seed, --input"),
        (["--max-drop", "0", "--json"], "--max-drop"),
    ],
)
def test_file_for_a_page_is_not_exported(options: list[str], refused: str, model: Path, cli: CommandLine) -> None:
    Path("net.onnx").symlink_to(model)
    result = cli("export", "net.onnx", "--web", "page", "--cdn", DEFAULT_CDN, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    said = " ".join(result.stderr.replace("│", " ").split())
    assert f"net.onnx is exported already, and --web shows it as it is: leave out {refused}, or name its run" in said
    assert not Path("page").exists()
    assert not Path("out").exists()


def test_folder_of_others_is_left_alone(model: Path, cli: CommandLine) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("x", encoding="utf-8")
    assert "is not empty and holds no page" in cli.fails("export", model, "--web", "mine", "--cdn", DEFAULT_CDN)
    assert "is a file; give --web a folder" in cli.fails("export", model, "--web", "mine/thesis.tex")


def test_page_written_anew_keeps_what_is_not_of_it(model: Path, tmp_path: Path, npm: Path) -> None:
    folder = tmp_path / "page"
    write_page(model, folder)
    (folder / "mine.txt").write_text("x")
    write_page(model, folder, cdn=DEFAULT_CDN)
    assert not (folder / FOLDER).exists()
    assert (folder / "mine.txt").exists()


def test_list_of_files_cannot_lead_out_of_the_folder(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    write_page(model, folder, cdn=DEFAULT_CDN)
    (tmp_path / "mine.txt").write_text("x")
    (folder / "files.json").write_text(json.dumps({"../mine.txt": "", str(tmp_path / "mine.txt"): ""}))
    write_page(model, folder, cdn=DEFAULT_CDN)
    assert (tmp_path / "mine.txt").exists()
    (folder / "files.json").write_text("{")
    with pytest.raises(LenetEdgeError, match=r"files\.json is damaged"):
        write_page(model, folder, cdn=DEFAULT_CDN)


def test_changed_or_foreign_file_is_refused(model: Path, tmp_path: Path, cli: CommandLine) -> None:
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(content)
    assert "changed after it was written" in cli.fails("export", changed, "--web", "page")
    for other in (b"\x3a\x00", b"no model"):
        changed.write_bytes(other)
        result = cli("export", changed, "--web", "page")
        assert result.exit_code == 2
        assert "another tool's ONNX file: say what it is for, by --dataset" in " ".join(result.stderr.split())


@pytest.mark.parametrize("engine", ["wasm"], indirect=True)
def test_changed_or_unproved_wasm_folder_is_refused(shown: Path, tmp_path: Path, cli: CommandLine) -> None:
    folder = tmp_path / "net-wasm"
    command = "export", folder, "--web", "page", "--engine", "wasm", "--trust"
    weights = (shown / "lenet.wasm").read_bytes()[-5000:]
    replaced = {
        "lenet.wasm": (weights, weights[::-1]),
        "lenet.mjs": (b"subarray", b"slice"),
        "lenet.json": (b"digits", b"kmnist"),
    }
    for name, (old, new) in replaced.items():
        shutil.copytree(shown, folder, dirs_exist_ok=True)
        content = (folder / name).read_bytes()
        assert old in content
        (folder / name).write_bytes(content.replace(old, new))
        assert "was not exported on this machine" in cli.fails(*command[:-1])
        message = cli.fails(*command)
        assert "changed after it was written; export it with 'lenet-edge export --format wasm'" in message
    (folder / "lenet.json").write_text("{}")
    assert "carries no lenet-edge metadata" in cli.fails(*command)
    (folder / "lenet.mjs").unlink()
    assert "is no folder of the wasm export" in cli.fails(*command)


# --- the page's text -----------------------------------------------------------------------------------------------

HTML = static_file("index.html").decode()
CSS = static_file("style.css").decode()
IDS = set(re.findall(r'\bid="([\w-]+)"', HTML))


def test_names_in_the_page_lead_somewhere() -> None:
    modules = "".join(static_file(name).decode() for name in PAGE if name.endswith(".mjs"))
    asked = set(re.findall(r'element\("([\w-]+)"\)', modules))
    pointed = set(" ".join(re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"|\bfor="([^"]+)"', HTML)[0]).split())
    assert asked
    assert (asked | pointed) - IDS == set()
    assert set(re.findall(r'href="#([\w-]+)"', HTML)) <= IDS
    assert len(re.findall(r'\bid="', HTML)) == len(IDS)


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name in PAGE:
        addresses = set(re.findall(r"https?://[^\s\"')]+", static_file(name).decode()))
        assert addresses <= {"http://www.w3.org/2000/svg"}


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


TEXT = [(ink, ground) for ink in ("ink", "soft", "accent", "good", "bad") for ground in ("ground", "card")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("first", "second", "least"),
    [(*pair, 4.5) for pair in [*TEXT, ("on-accent", "accent"), ("ink", "track")]]
    + [("edge", "ground", 3.0), ("edge", "card", 3.0), ("accent", "track", 3.0)],
)
def test_contrast_suffices(scheme: str, first: str, second: str, least: float) -> None:
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for part in re.findall(r":root \{(.*?)\}", CSS, re.S)
    )
    colours = light if scheme == "light" else light | dark
    low, high = sorted(luminance(colours[name]) for name in (first, second))
    assert (high + 0.05) / (low + 0.05) >= least
