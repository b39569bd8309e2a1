"""What the templates of packages are filled with: read from the exported folder's own metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from lenet_edge_exporters.c import folder
from lenet_edge_runtime import metadata, proof
from lenet_edge_runtime.printable import code_span
from lenet_edge_runtime.proof import KnownAnswers
from lenet_edge_runtime.shared_library import DEFAULT_NAME, NAME
from lenet_edge_runtime.spec import ModelSpec

LONGEST_NPM_NAME = 214  # characters, docs.npmjs.com/cli/configuring-npm/package-json


def fields_of(stated: Mapping[str, str], stem: str) -> dict[str, str]:
    """The templates' fields by name. `stated`: the folder's metadata; `stem`: its name without the format's ending."""
    stated = dict(stated)
    spec = ModelSpec.from_metadata(stated)
    pixels, answer = shown_answer(proof.known_answers(stated, stem))
    name = name_in(stated)
    measures = {key.upper(): str(metadata.read(stated, key, metadata.whole(0))) for key in folder.MEASURES}
    version = metadata.read(stated, "versions", metadata.table(metadata.text))["lenet-edge"]
    return {
        "NAME": name,
        "MACRO": name.upper(),
        "TITLE": folder.title_of({key: _text(stated, key) for key in ("recipe", "dataset")}),
        "VERSION": version,
        "PACKAGE_VERSION": package_version(version),
        "NPM_NAME": npm_name(stem),
        "IMAGE": folder.image_of(spec),
        "POLARITY": folder.POLARITIES[spec.polarity],
        "PIXELS": str(pixels.size),
        "CLASSES": str(len(spec.labels)),
        "LABEL_LIST": folder.label_list(spec.labels),
        "ANSWER": str(answer),
        "ANSWER_LABEL": code_span(spec.labels[answer]),
        "IMAGE_DATA": folder.numbers(pixels),
        **measures,
    }


def name_in(stated: Mapping[str, str]) -> str:
    """The network's name in C, as the metadata state it."""
    return metadata.read(dict(stated), NAME, metadata.text, DEFAULT_NAME)


def shown_answer(answers: KnownAnswers) -> tuple[np.ndarray, int]:
    """The known answer that the examples show: its pixels, uint8 [channels, height, width], and its class.

    The first one that is not class 0: an LED blinks as often as the class says, and never would say little.
    """
    classes = answers.logits.argmax(1)
    row = int(np.flatnonzero(classes)[0]) if classes.any() else 0
    return answers.pixels[row], int(classes[row])


def package_version(version: str) -> str:
    """Three numbers with dots, which every one of the tools takes, of the version that wrote the network."""
    numbers = re.findall(r"\d+", version.partition("+")[0])[:3]
    return ".".join([*numbers, "0", "0", "0"][:3])


def npm_name(stem: str) -> str:
    """A name that npm takes: lower-case letters, digits, dots, hyphens and underscores, a letter or digit first."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).lstrip("._-")[:LONGEST_NPM_NAME] or DEFAULT_NAME


def _text(stated: dict[str, str], key: str) -> str | None:
    return metadata.read_optional(stated, key, metadata.text)
