"""Labels as a user's folders are called, through every writer: what is read back is what was written."""

import ast
import csv
import io
import json
import re
import subprocess
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from export_jobs import make_job
from hostile_text import PIECES, is_harmless, label_lists, texts
from lenet_edge import console
from lenet_edge.artefacts import model_card
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.predicting import output_formats
from lenet_edge.report import sections
from lenet_edge_exporters import ExportJob
from lenet_edge_exporters.c import folder, toolchain
from lenet_edge_exporters.integer_program.program import UnsupportedError
from lenet_edge_runtime import ModelSpec, Prediction
from lenet_edge_runtime.printable import code_span, csv_row, csv_text, markdown_text, printable, to_json

SETS = 60  # of labels, compiled into one program
# Every kind alone, and all in one set: what Hypothesis draws differs from run to run.
ALL_PIECES = tuple(dict.fromkeys(piece for piece in PIECES if "\0" not in piece))
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-overlength-strings")

any_labels = given(labels=label_lists)
often = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def made() -> tuple[ExportJob, folder.Made]:
    """A network, and of what travels with it as little as the texts need: each rendering then takes milliseconds."""
    job = make_job("lenet5")
    network = folder.build(job)
    one = replace(network.answers, pixels=network.answers.pixels[:1], logits=network.answers.logits[:1])
    return job, replace(network, answers=one, metadata={})


def files_for(labels: tuple[str, ...]) -> dict[str, str]:
    """The C folder of a network with these labels; its weights are those of ten classes, which no text depends on."""
    job, network = made()
    files = folder.render(replace(job, spec=replace(job.spec, labels=labels)), network)
    return {name: content.decode() for name, content in files.items()}


def compiled(program: str, place: Path) -> list[list[str]]:
    """Compile a program that prints strings, each behind a `:` in hexadecimal with sets apart by lines; run it."""
    (place / "labels.c").write_text(program, encoding="utf-8")
    # By GNU's C17 trigraphs are off; by C99 they are on: both have to give the same.
    found = []
    for standard in ("-std=c99", "-std=gnu17"):
        binary = place / f"labels{standard}"
        subprocess.run(["gcc", standard, "-O0", *WARNINGS, place / "labels.c", "-o", binary], check=True)
        printed = subprocess.run([binary], capture_output=True, text=True, check=True).stdout
        found.append([[bytes.fromhex(word).decode() for word in line.split(":")[1:]] for line in printed.splitlines()])
    assert found[0] == found[1]
    return found[0]


def program_of(sets: list[tuple[str, ...]]) -> str:
    declared = [f"static const char *const set{i}[] = {{{folder.c_strings(labels)}}};" for i, labels in enumerate(sets)]
    printed = [f"    show(set{i}, sizeof set{i} / sizeof *set{i});" for i in range(len(sets))]
    return "\n".join(
        [
            "#include <stdio.h>",
            *declared,
            "static void show(const char *const *texts, size_t n)\n{\n    for (size_t i = 0; i < n; i++) {",
            "        putchar(':');\n        for (const char *c = texts[i]; *c; c++)",
            '            printf("%02x", (unsigned char)*c);',
            "    }\n    putchar('\\n');\n}",
            "int main(void)\n{",
            *printed,
            "    return 0;\n}\n",
        ]
    )


@pytest.fixture(autouse=True)
def _c_compiler() -> None:
    try:
        toolchain.find_compiler()
    except toolchain.CompilerError as error:
        pytest.skip(str(error))


def drawn_sets(count: int, seed: int) -> list[tuple[str, ...]]:
    """Sets of labels: of 2 to 40, each of one to five pieces, some of ordinary words alone."""
    generator = np.random.default_rng(seed)
    words = ("New York", "ice cream", "hot dog", "Granny Smith", "St. John's wort", "fire truck", "no entry", "R2 D2")
    sets = [ALL_PIECES, *((piece, "other") for piece in ALL_PIECES if piece != "other")]
    while len(sets) < count + len(ALL_PIECES) + 1:
        pieces = words if generator.random() < 0.4 else PIECES
        labels = {
            "".join(generator.choice(pieces, size=generator.integers(1, 6))) + f" {i}"
            for i in range(generator.integers(2, 41))
        }
        sets.append(tuple(sorted(labels)))
    return sets


def check_c(count: int, seed: int, place: Path) -> int:
    sets = drawn_sets(count, seed)
    assert compiled(program_of(sets), place) == [list(labels) for labels in sets]
    return len(sets)


def test_labels_in_c(tmp_path: Path) -> None:
    check_c(SETS, 0, tmp_path)


@pytest.mark.slow
def test_many_labels_in_c(tmp_path: Path) -> None:
    failures = trials = 0
    for seed in range(1, 26):
        trials += check_c(200, seed, tmp_path)
    print(f"\nlabels through gcc: {trials} sets, {failures} failures")  # noqa: T201


@pytest.mark.parametrize("labels", [ALL_PIECES, tuple(f"New class {i}" for i in range(26)), ("x" * 116, "y" * 3000)])
def test_whole_folder_compiles(labels: tuple[str, ...], tmp_path: Path) -> None:
    """The network, its header and its metadata, by the strictest flags, and read back by the linker."""
    files = files_for(labels)
    for name in ("lenet.c", "lenet.h", "lenet_metadata.c"):
        (tmp_path / name).write_text(files[name], encoding="utf-8")
    assert max(map(len, files["lenet.c"].splitlines())) <= 124
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "lenet.h"\nint main(void)\n{\n    for (int i = 0; i < LENET_CLASSES; i++) {\n'
        "        putchar(':');\n        for (const char *c = lenet_labels[i]; *c; c++)\n"
        '            printf("%02x", (unsigned char)*c);\n    }\n    return 0;\n}\n',
        encoding="utf-8",
    )
    sources = [str(tmp_path / name) for name in ("main.c", "lenet.c", "lenet_metadata.c")]
    program = tmp_path / "labels"
    subprocess.run(["gcc", "-std=c99", "-O0", *WARNINGS, *sources, "-o", program], check=True)
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert tuple(bytes.fromhex(word).decode() for word in printed.split(":")[1:]) == labels


def test_zero_byte_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match=r"label a\\x00b holds a zero byte"):
        folder.c_string("a\0b")


@often
@any_labels
def test_labels_in_the_folder_s_readme(labels: tuple[str, ...]) -> None:
    job, network = made()
    text = folder.filled("README.md", replace(job, spec=replace(job.spec, labels=labels)), network).decode()
    (line,) = (line for line in text.split("\n") if line.startswith("**Output.**"))
    assert is_harmless(line)
    assert tuple(map(json.loads, code_spans(line.partition("each of: ")[2]))) == labels


def code_spans(text: str) -> list[str]:
    """The code spans of a line of Markdown (CommonMark 6.1); nothing but commas and full stops is between them."""
    found, rest = [], text
    while match := re.match(r"[,. ]*(`+)", rest):
        fence, rest = match[1], rest[match.end() :]
        end = re.search(rf"(?<!`){fence}(?!`)", rest)
        assert end, text
        content = rest[: end.start()]
        found.append(content[1:-1] if content.startswith(" ") and content.endswith(" ") else content)
        rest = rest[end.end() :]
    assert not rest.strip(",. "), rest
    return found


@often
@any_labels
def test_labels_in_the_model_card(labels: tuple[str, ...]) -> None:
    spec = ModelSpec(labels, 28, 28, (0.1,), (0.3,))
    (line,) = (line for line in model_card._contract(spec, "uint8") if line.startswith("- Labels"))
    assert is_harmless(line)
    assert json.loads(code_spans(line.partition("logits: ")[2])[0]) == list(labels)
    (assigned,) = (line for line in model_card.program("pt2", "f.pt2", spec) if line.startswith("labels"))
    assert is_harmless(assigned)
    assert ast.literal_eval(assigned.partition(" = ")[2]) == list(labels)


@often
@any_labels
def test_labels_in_the_javascript(labels: tuple[str, ...]) -> None:
    job, network = made()
    text = folder.filled("lenet.mjs", replace(job, spec=replace(job.spec, labels=labels)), network).decode()
    (line,) = (line for line in text.split("\n") if line.startswith("export const labels"))
    assert tuple(json.loads(line.partition(" = ")[2].rstrip(";"))) == labels


class Cells(HTMLParser):
    """The text of every cell and picture."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: set[str] = set()
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found |= {value for _, value in attrs if value}

    def handle_data(self, data: str) -> None:
        self.found.add(data)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@any_labels
def test_labels_in_the_report(labels: tuple[str, ...]) -> None:
    from lenet_edge.evaluation.evaluation import score

    classes = np.arange(2 * len(labels)) % len(labels)
    logits = np.eye(len(labels), dtype=np.float32)[(classes + (np.arange(len(classes)) < len(labels))) % len(labels)]
    scores = score(logits, classes, labels, "", "pytorch", "digits")
    pixels = np.zeros((len(classes), 1, 28, 28), np.uint8)
    found: Any = SimpleNamespace(
        evaluation=scores, data=SimpleNamespace(labels=labels, test_labels=classes, test_pixels=pixels)
    )
    html = "".join(part(found) for part in (sections.classes, sections.confusions, sections.mistakes))
    assert is_harmless(html)
    cells = Cells(html)
    assert {printable(label) for label in labels} <= cells.found
    assert not cells.tags & {"script", "b2", "x"}


@often
@any_labels
def test_labels_in_answers(labels: tuple[str, ...]) -> None:
    answers = [(Path(f"{i}.png"), Prediction(label, i, 0.5, (0.5, 0.5), False)) for i, label in enumerate(labels)]
    written = {
        name: row.head + "".join(row.line(*answer) for answer in answers)
        for name, row in output_formats.FORMATS.items()
    }
    rows = list(csv.reader(io.StringIO(written["csv"], newline="")))
    assert [csv_text(row[1]) for row in rows[1:]] == list(labels)
    assert not any(row[1].startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows)
    assert is_harmless(written["jsonl"] + written["text"])
    assert [json.loads(line)["label"] for line in written["jsonl"].split("\n")[:-1]] == list(labels)
    shown = written["text"].split("\n")[:-1]
    assert all(line.startswith(printable(label)) for line, label in zip(shown, labels, strict=True))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@any_labels
def test_labels_in_tables(labels: tuple[str, ...]) -> None:
    import contextlib

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        console.print_table(labels[0], ["class", labels[1]], [[label, "1"] for label in labels])
        console.print_json({"labels": labels})
        for label in labels:
            console.say(label)
    assert is_harmless(out.getvalue())
    assert is_harmless(err.getvalue())
    assert err.getvalue().split("\n")[:-1] == [printable(label) for label in labels]
    for label in labels:
        assert printable(label).strip() in out.getvalue()


@often
@given(texts)
def test_texts_are_read_back(text: str) -> None:
    assert json.loads(to_json({"text": [text]}, indent=2)) == {"text": [text]}
    assert ast.literal_eval(f"'''{printable(text.replace(chr(92), '').replace(chr(39), ''))}'''") == text.replace(
        chr(92), ""
    ).replace(chr(39), "")
    assert csv_text(next(csv.reader(io.StringIO(csv_row([text, 1]), newline="")))[0]) == text
    assert is_harmless(markdown_text(text))
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown_text(text)) == re.sub(r"\\\\", r"\\", printable(text)) or (
        "\\" in printable(text)
    )
    assert not text.strip(" ") or code_spans(code_span(text)) == [printable(text)]


@pytest.mark.parametrize("source", PIECES)
def test_source_of_a_recipe_is_text_in_the_model_card(source: str) -> None:
    """No link, no picture and no HTML comes of a record that someone else wrote."""
    record: Any = SimpleNamespace(
        recipe=replace(RECIPES["lenet5"], source=source, name=source),
        spec=ModelSpec(("a", "b"), 28, 28, (0.1,), (0.3,)),
        dataset="digits",
        metrics={"parameters": 1},
        status="finished",
        is_foreign=False,
    )
    first = model_card._purpose(record)[0]
    assert is_harmless(first)
    source_part = first.partition(" of lenet-edge (")[2]
    assert not re.search(r"(?<!\\)[<\[`|]|(?<!\\):|(?<!\\)&", source_part), source_part
