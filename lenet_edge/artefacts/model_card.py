"""The model card beside exported files: README.md with the YAML head that the Hugging Face Hub reads.

Filled from the run's record and from what was measured of each file as it was exported; says nothing that was not.
The fields of the head: https://huggingface.co/docs/hub/model-cards.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lenet_edge.artefacts.card_program import program
from lenet_edge.console import percent
from lenet_edge.data.datasets import DATASETS
from lenet_edge.evaluation.comparison import smallest_provable_drop
from lenet_edge.networks.recipes import Recipe
from lenet_edge.runs.record import RunRecord
from lenet_edge_exporters import FORMATS, Artifact, atomic
from lenet_edge_runtime.host import installed_versions
from lenet_edge_runtime.printable import code_span, markdown_text, to_json
from lenet_edge_runtime.reading import read_bytes
from lenet_edge_runtime.spec import InputType, ModelSpec

MARK = "<!-- Written by `lenet-edge export`, which writes it anew at every export into this folder. -->"

HUB_DATASETS = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
PYTHON_BACKENDS = ("onnxruntime", "torchscript", "pytorch")
_NETWORKS = {
    "lenet5": "LeNet-5",
    "convnet": "A convolutional network",
    "own": "A network of its author's own program",
    "onnx": "Another tool's ONNX file",
    "imported": "A network from elsewhere",
}
POLARITIES = {
    "light-on-dark": "light on dark; an image that is dark on light has to be inverted first",
    "dark-on-light": "dark on light; an image that is light on dark has to be inverted first",
    "any": "as the training images are; nothing is inverted",
}


def write(folder: Path, record: RunRecord, artifacts: Sequence[Artifact], input_type: InputType = "uint8") -> Path:
    """Write the card of these files into their folder; return its path, MODEL_CARD.md beside a README.md not ours.

    A card that is there stays where all of these files were rejected: the files that it describes stay, too.
    """
    path = folder / "README.md"
    if path.exists() and MARK.encode() not in read_bytes(path):
        path = folder / "MODEL_CARD.md"
    if path.exists() and not any(artifact.passed for artifact in artifacts):
        return path  # it describes the files that stay
    atomic.write_text(path, render(record, artifacts, input_type))
    return path


def render(record: RunRecord, artifacts: Sequence[Artifact], input_type: InputType = "uint8") -> str:
    """The card's text, the same for the same run and files; raises ValueError for a file that was not measured."""
    if not artifacts or any(artifact.card is None for artifact in artifacts):
        raise ValueError("a model card needs one or more files, each measured on a test set")
    sections = {
        "What it is for": _purpose(record),
        "How to feed it": _contract(record.spec, input_type) + _usage(record.spec, artifacts, input_type),
        "What was measured": _measurements(record, artifacts),
        "How it was trained": _training(record),
        "Limits": _limits(record, artifacts),
    }
    text = [_head(record, artifacts), MARK, "", f"# {markdown_text(_name(record))}", ""]
    for heading, lines in sections.items():
        text += [f"## {heading}", "", *lines, ""]
    return "\n".join(text).rstrip() + "\n"


def _name(record: RunRecord) -> str:
    return f"{record.recipe.name}-{record.dataset}"


def _title(dataset: str) -> str:
    return DATASETS[dataset].title if dataset in DATASETS else "its trainer's own images"


def _card(artifact: Artifact) -> dict[str, Any]:
    return dict(artifact.card or {})


def _head(record: RunRecord, artifacts: Sequence[Artifact]) -> str:
    """The YAML head; text that is not ours is quoted as JSON, which YAML includes."""
    dataset = HUB_DATASETS.get(record.dataset, record.dataset)
    onnx = any(FORMATS[artifact.format].backend == "onnxruntime" for artifact in artifacts)
    lines = [
        "---",
        "license: unknown",  # only whoever publishes the weights can grant one
        f"library_name: {'onnx' if onnx else 'pytorch'}",
        "pipeline_tag: image-classification",
        "tags:",
        *(f"- {tag}" for tag in dict.fromkeys(["lenet-edge", "lenet", *(item.format for item in artifacts)])),
        "datasets:",
        f"- {to_json(dataset)}",
        "metrics:",
        "- accuracy",
        "model-index:",
        f"- name: {to_json(_name(record))}",
        "  results:",
        "  - task:",
        "      type: image-classification",
        "    dataset:",
        f"      type: {to_json(dataset)}",
        f"      name: {to_json(_title(record.dataset))}",
        "      split: test",
        "    metrics:",
    ]
    for artifact in artifacts:
        lines += [
            "    - type: accuracy",
            f"      name: {to_json('Accuracy of ' + artifact.path.name)}",
            f"      value: {_card(artifact)['accuracy']}",
        ]
    return "\n".join([*lines, "---"])


def _purpose(record: RunRecord) -> list[str]:
    spec, recipe = record.spec, record.recipe
    colour = "grey" if spec.channels == 1 else "RGB"
    ours = recipe.model.architecture in ("lenet5", "convnet")
    origin = f"after the recipe {code_span(recipe.name)} of lenet-edge ({markdown_text(recipe.source)})"
    made = "measured" if record.status == "imported" else "trained"
    runtimes = "onnxruntime" if record.is_foreign else "onnxruntime or PyTorch"
    return [
        f"{_NETWORKS[recipe.model.architecture]}, {record.metrics['parameters']:,} parameters"
        f"{', ' + origin if ours else f': {markdown_text(recipe.summary)}'}.",
        f"It gives a {colour} image of {spec.width} x {spec.height} pixels one of {len(spec.labels)} labels, on any "
        f"device that {runtimes} runs on.",
        f"It was {made} on {_title(record.dataset)} and is meant for images like those.",
    ]


def _contract(spec: ModelSpec, input_type: InputType) -> list[str]:
    shape = ", ".join(map(str, ("batch", *spec.input_shape(input_type))))
    taken = (
        f"- Input `pixels`: uint8 [{shape}], the raw pixels, 0 to 255. Padding and normalisation are inside the files: "
        f"divide by nothing, subtract nothing."
    )
    if input_type == "float32":
        taken = (
            f"- Input `images`: float32 [{shape}]. Padding and normalisation are NOT inside: pad the raw pixels "
            f"(0 to 255) with {spec.padding} zeros on each side, then (pixels / 255 - mean) / std, "
            f"mean {list(spec.mean)}, std {list(spec.std)}, per channel."
        )
    return [
        taken,
        f"- Polarity: {POLARITIES[spec.polarity]}.",
        "- Output `logits`: float32 [batch, classes]; the ONNX and ORT files give `probabilities` too.",
        f"- Labels, in the order of the logits: {code_span(to_json(list(spec.labels)))}.",
    ]


def _usage(spec: ModelSpec, artifacts: Sequence[Artifact], input_type: InputType) -> list[str]:
    usable = [artifact for artifact in artifacts if artifact.passed]
    if not usable:
        return ["", "None of these files passed its gate: use none of them."]
    in_python = [item for item in usable if FORMATS[item.format].backend in PYTHON_BACKENDS]
    if not in_python:
        return ["", "The folders say in their own files how they are called: the header of C, `lenet.mjs`."]
    # A file that carries images of its own makes a program that runs as it stands; ONNX before ORT.
    chosen = max(in_python, key=lambda item: (FORMATS[item.format].seal is not None, item.format != "ort"))
    return ["", "```python", *program(chosen.format, chosen.path.name, spec, input_type), "```"]


def _measurements(record: RunRecord, artifacts: Sequence[Artifact]) -> list[str]:
    card = _card(artifacts[0])
    unseen = "calibration" if record.status == "imported" else "training or calibration"
    lines = [
        f"Each file, reloaded from disk, on all {card['images']:,} images of the test set of "
        f"{code_span(card['dataset'])}, which took no part in {unseen}.",
        f"By {record.reference} {percent(card['pytorch_accuracy'])} of them are right.",
        "Agreement: how often a file gives the same class as that. Drop: its accuracy minus the file's on the",
        "same images, in percentage points; a file passes when the upper end of the drop's interval is at most "
        f"{card['max_drop_pp']:.2f}.",
        "",
        "| file | bytes | accuracy | 95 % interval (Wilson) | agreement | drop, pp | 95 % interval (Tango) | gate |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
        *map(_row, artifacts),
        "",
        "SHA-256 of each file, as `sha256sum -c` reads it; of a folder, what `sha256sum * | sha256sum` prints in it:",
        "",
        "```text",
        *(f"{artifact.sha256}  {artifact.path.name}" for artifact in artifacts),
        "```",
    ]
    if any(artifact.passed and FORMATS[artifact.format].seal for artifact in artifacts):
        lines += [
            "",
            "The ONNX and ORT files carry these figures, a seal over their bytes, and known answers: "
            "`lenet-edge verify FILE` checks them on your machine, without the data.",
        ]
    return lines


def _row(artifact: Artifact) -> str:
    card = _card(artifact)
    low, high = card["accuracy_ci95"]
    cells = [
        artifact.path.name,
        f"{artifact.bytes:,}",
        percent(card["accuracy"]),
        f"{percent(low)} to {percent(high)}",
        percent(card["agreement"]),
        f"{card['accuracy_drop_pp']:+.2f}",
        "{:+.3f} to {:+.3f}".format(*card["drop_ci95_pp"]),
        "passed" if artifact.passed else "REJECTED",
    ]
    return f"| {' | '.join(cells)} |"


def _optimizer(recipe: Recipe) -> str:
    momentum = f"with momentum {recipe.momentum}"
    name = {"adam": "Adam", "muon": f"Muon {momentum}", "sgd": f"SGD {momentum}"}[recipe.optimizer]
    return f"{name}, {'peak' if recipe.schedule == 'one-cycle' else 'constant'} learning rate {recipe.learning_rate}"


def _training(record: RunRecord) -> list[str]:
    recipe = record.recipe
    lines = [
        f"- Data: {_title(record.dataset)} ({code_span(record.dataset)}); md5 of "
        + ", ".join(f"{code_span(name)} {markdown_text(md5)}" for name, md5 in record.data_md5s.items()),
    ]
    if record.status == "imported":
        lines += ["- The weights were trained elsewhere and imported; how is not known here."]
    else:
        lines += [
            f"- Recipe {code_span(recipe.name)}: {record.metrics.get('epochs', recipe.epochs)} epochs, batches of "
            f"{recipe.batch_size}, {_optimizer(recipe)}, "
            f"weight decay {recipe.weight_decay}, label smoothing {recipe.label_smoothing}, "
            f"{'with' if recipe.augment else 'without'} augmentation"
            + (f", {recipe.strangers:.0%} of made images of none of the classes" if recipe.strangers else ""),
            f"- Seed {record.seed}, on {markdown_text(record.device)} with {record.threads} thread(s)",
            f"- Accuracy on the held-out validation images: {percent(record.metrics['val_accuracy'])}",
        ]
    if "temperature" in record.metrics:
        lines += [_temperature(record)]
    exported = installed_versions(("lenet-edge", "torch", "onnx", "onnxscript", "onnxruntime"))
    return [
        *lines,
        f"- {'Imported' if record.status == 'imported' else 'Trained'} with {_listed(record.versions)}",
        f"- Exported with {_listed(exported)}",
    ]


def _temperature(record: RunRecord) -> str:
    held_out = "validation images of these data"
    whose = (
        f"{held_out}, which whoever trained the weights may have trained on"
        if record.status == "imported"
        else held_out
    )
    return (
        f"- Probabilities: the logits are divided by the temperature {record.metrics['temperature']} in the weights "
        f"themselves (Guo et al. 2017); it and the threshold of none of these were found on {whose}"
    )


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(markdown_text(f"{name} {version}") for name, version in versions.items())


def _limits(record: RunRecord, artifacts: Sequence[Artifact]) -> list[str]:
    images, labels = _card(artifacts[0])["images"], len(record.spec.labels)
    confidence = (
        f"- Every image gets one of the {labels} labels, also one that shows none of them; that the probabilities are "
        f"frequencies was not measured."
        if record.spec.threshold is None
        else f"- Every image gets one of the {labels} labels. Whether it shows any of them is answered beside it "
        f"(`known`), and not for certain. The probabilities are meant for images like those named above."
    )
    lines = [
        confidence,
        "- The accuracy is that on the test set named above. Images from elsewhere were not measured.",
        f"- {images:,} images cannot show a drop below {smallest_provable_drop(images):.3f} percentage points, the "
        f"upper end that identical answers get.",
        "- The weights come without a licence: whoever publishes them chooses one and names it in the head. The data "
        "has its own.",
    ]
    if any(FORMATS[artifact.format].backend in ("torchscript", "pytorch") for artifact in artifacts):
        lines.append(
            "- TorchScript and pt2 files can run code when they are loaded: load them only from those you trust."
        )
    lines += [
        f"- `{artifact.path.name}` was REJECTED: its drop may reach {_card(artifact)['drop_ci95_pp'][1]:.3f} "
        f"percentage points. It is kept to look into, not to be used."
        for artifact in artifacts
        if not artifact.passed
    ]
    return lines
