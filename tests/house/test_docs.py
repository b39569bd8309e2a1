"""README and docs/ against the program: commands, formats, recipes, data sets, options, links, and the site's list."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from lenet_edge import __version__
from lenet_edge.cli import app
from lenet_edge.data.datasets import DATASETS
from lenet_edge.networks.recipes import RECIPES
from lenet_edge_exporters import FORMATS
from lenet_edge_exporters.packages import PACKAGES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md"))}
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEST_COMMAND = "pytest -n auto"
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
EVERYTHING = "\n".join([README, *PAGES.values()])
LINKED = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
        *ROOT.glob("examples/**/*.md"),
    ]
)
COMMANDS = [str(command.name) for command in app.registered_commands]
# Words that a PyTorch user may not know: the glossary has each; a page that uses one explains it, in bold, or links it.
TERMS = (
    "calibration", "zero point", "static quantization", "QDQ", "saturat", "quantization-aware training", "opset",
    "IR version", "agreement", "gate", "known answers", "seal", "card", "McNemar", "Tango", "Wilson", "Holm",
    "A/A test", "provider", "WebAssembly",
)  # fmt: skip
FOREIGN_OPTIONS = {
    "--nproc-per-node", "--accelerator-config",  # torchrun's, and vela's
    "--private", "--public", "--signature",  # model_signing's (--private_key, --public_key)
    "--host", "--nworkers", "--nthreads", "--name",  # Dask's
    "--logdir",  # TensorBoard's
    "--build", "--install", "--prefix",  # CMake's
    "--bundle", "--loader", "--target",  # esbuild's
    "--rounds", "--batches", "--processor", "--without-compile",  # benchmarks/training_steps.py's
}  # fmt: skip


def commands() -> dict[str, Any]:
    found: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return found


def prose(markdown: str) -> str:
    """The text without its blocks of code, in which `[0](1)` is no link and `# a` no heading."""
    fenced = re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^    .*$", "", fenced, flags=re.MULTILINE)


def anchors(markdown: str) -> set[str]:
    """The anchors of headings, as GitHub and mkdocs both make them of plain words."""
    headings = re.findall(r"^#+ +(.*)$", prose(markdown), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_has_its_page_and_is_found_from_the_readme(command: str) -> None:
    rows = re.findall(rf"^\|.*`{command}`.*\|$", PAGES["index.md"], re.MULTILINE)
    [page, *_] = re.findall(r"\]\(([\w-]+\.md)\)", "".join(rows))
    assert f"lenet-edge {command}" in PAGES[page]
    assert f"(docs/{page})" in README
    assert f"\n## {command}\n" in PAGES["commands.md"]


@pytest.mark.parametrize("name", [*FORMATS, *PACKAGES, *RECIPES, *DATASETS])
def test_row_of_a_table_stands_in_the_docs(name: str) -> None:
    assert any(f"`{name}`" in text for page, text in PAGES.items() if page not in {"commands.md", "results.md"})


@pytest.mark.parametrize("option", sorted(set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]+", EVERYTHING))))
def test_option_in_the_docs_exists(option: str) -> None:
    known = {"--help", "--version"} | {
        name
        for command in commands().values()
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    assert option in known | FOREIGN_OPTIONS


def test_command_reference_is_what_the_program_says() -> None:
    generated = runpy.run_path(str(DOCS / "make_commands.py"))["page"]()
    assert PAGES["commands.md"] == generated, "type: python docs/make_commands.py"


@pytest.mark.parametrize("command", COMMANDS)
def test_command_reference_has_every_option_and_no_path_of_this_machine(command: str) -> None:
    section = PAGES["commands.md"].partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    for parameter in commands()[command].params:
        if parameter.param_type_name == "option" and parameter.name != "help":
            assert all(f"`{name}`" in section for name in (*parameter.opts, *parameter.secondary_opts))
    assert str(Path.home()) not in section
    assert "\x1b" not in section


@pytest.mark.parametrize("term", TERMS)
def test_term_is_in_the_glossary(term: str) -> None:
    assert re.search(rf"\b{term}", PAGES["glossary.md"], re.IGNORECASE)


@pytest.mark.parametrize("page", sorted({"README.md", *PAGES} - {"glossary.md", "commands.md", "results.md"}))
def test_page_explains_or_links_the_terms_that_it_uses(page: str) -> None:
    text = re.sub(r"`[^`\n]*`|^\|.*$|^#.*$", "", prose(PAGES.get(page, README)), flags=re.MULTILINE)
    told = " ".join("".join(pair) for pair in re.findall(r"\*\*([^*]+)\*\*|\[([^\]]+)\]\(", text))
    used = [term for term in TERMS if re.search(rf"\b{term}", text, re.IGNORECASE)]
    assert [term for term in used if not re.search(rf"\b{term}", told, re.IGNORECASE)] == [], (
        f"in {page}: link the first use to docs/glossary.md, or explain it there in **bold**"
    )


@pytest.mark.parametrize("page", PAGES)
def test_page_is_on_the_sites_list(page: str) -> None:
    assert re.search(rf"[ :]{re.escape(page)}$", SITE, re.MULTILINE)


@pytest.mark.parametrize("file", LINKED)
def test_links_lead_somewhere(file: str) -> None:
    page = ROOT / file
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("page", PAGES)
def test_page_links_to_pages_alone(page: str) -> None:
    """What lies outside docs/ is not part of the site: it is named, not linked."""
    targets = re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page]))
    assert [target for target in targets if target.startswith(("..", "/"))] == []


def test_readme_is_one_page_with_the_two_commands_and_a_narrow_table_on_its_first_screen() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    first_screen = "\n".join(lines[:45])
    assert 'pip install -e ".[train,dev]" && lenet-edge quickstart' in first_screen
    assert f"\n    {TEST_COMMAND} " in first_screen
    assert "| " in first_screen
    assert max(line.count("|") for line in lines) <= 7


def test_readme_has_one_small_picture_that_a_script_of_ours_makes() -> None:
    [picture] = re.findall(r"!\[[^\]]{10,}\]\(docs/([\w-]+\.png)\)", README)
    assert (DOCS / picture).stat().st_size < 150_000
    assert picture in (DOCS / "make_picture.py").read_text(encoding="utf-8")


def test_each_addition_takes_at_most_four_steps() -> None:
    additions = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Add ")[1:]
    steps = {
        text.splitlines()[0]: re.findall(r"^\d+\. ", text.partition("\n## ")[0], re.MULTILINE) for text in additions
    }
    assert all(1 <= len(found) <= 4 for found in steps.values()), steps
    assert {"a format", "a recipe", "a data set"} <= steps.keys()


def test_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert '".[train,dev]"' in script
    assert "lenet-edge quickstart" in script
    assert "mkdocs build --strict" in script
    assert f"\n{TEST_COMMAND} |" in script


def test_changelog_has_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
