"""`lenet-edge info`: needs the base install alone."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lenet_edge import console
from lenet_edge.options import JsonOption
from lenet_edge_runtime.printable import printable
from lenet_edge_runtime.spec import PREFIX

NAME = "info"
SHOWN_APART = ("known_answers", "card", "labels", "sha256", "signature")  # long, or in a line of their own


def run(
    path: Annotated[Path, typer.Argument(help="An ONNX or TFLite file.")],
    as_json: JsonOption = False,
) -> None:
    """Show what an ONNX or TFLite file says about itself.

    Its input, labels, origin, accuracy card and operators.

    Example: lenet-edge info lenet5-mnist.int8.onnx
    """
    document = describe(path)
    if as_json:
        console.print_json(document)
    else:
        _print(document)


def describe(path: Path) -> dict[str, Any]:
    """What `info --json` prints; `metadata` is empty for a file that is not ours."""
    from lenet_edge_exporters import manifest
    from lenet_edge_runtime.errors import ModelFileError
    from lenet_edge_runtime.sessions import read_model

    manifest.check(path)
    content = read_model(path)
    try:
        return {"path": str(path), "bytes": len(content), **_described(content)}
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None


def _described(content: bytes) -> dict[str, Any]:
    from lenet_edge_runtime import onnx_file, proof, signing, tflite_file

    is_tflite = tflite_file.is_tflite(content)
    texts = tflite_file.metadata_of(content) if is_tflite else onnx_file.metadata_of(content)
    metadata = {
        key.removeprefix(PREFIX): _value(text)
        for key, text in texts.items()
        if key.startswith(PREFIX) and key != proof.KNOWN_ANSWERS
    }
    signature = None if is_tflite else signing.split(content)[1]
    answers = texts.get(proof.KNOWN_ANSWERS)
    return {
        "sealed": proof.is_sealed(content) if proof.SEAL in texts else None,
        "signed_by": signature.fingerprint if signature else None,
        "known_answers": len(proof.KnownAnswers.from_json(answers).pixels) if answers else 0,
        **(asdict(tflite_file.summarise(content)) if is_tflite else _onnx_graph(content)),
        "metadata": metadata,
        "other_metadata": {key: text for key, text in texts.items() if not key.startswith(PREFIX)},
    }


def _onnx_graph(content: bytes) -> dict[str, Any]:
    from lenet_edge_runtime import onnx_file

    summary = onnx_file.summarise(content)
    return {
        "ir_version": summary.ir_version,
        "producer": summary.producer,
        "inputs": list(summary.inputs),
        "outputs": list(summary.outputs),
        "external_data": list(summary.external_files),
        "opsets": {domain or "ai.onnx": version for domain, version in summary.opsets.items()},
        "operators": summary.operators,
        "initializer_bytes": summary.initializer_bytes,
        "initializers_sha256": summary.initializers_sha256,
    }


def _value(text: str) -> Any:
    """What a text is as JSON; what is none, or nests so deep that nothing can print it, as it is."""
    try:
        value = json.loads(text)
        json.dumps(value, indent=2)
        _line(value)
    except (ValueError, RecursionError):
        return text
    return value


def _print(document: dict[str, Any]) -> None:
    metadata = document["metadata"]
    opsets = document.get("opsets") or {"TFLite schema": document["schema_version"]}
    seal = {True: "whole", False: "BROKEN: the file was changed after it was written", None: "none"}[document["sealed"]]
    signer = document["signed_by"]
    lines = [
        ["size", f"{document['bytes']:,} bytes, {document['initializer_bytes']:,} of them weights"],
        ["seal", f"{seal}; {document['known_answers']} known answers"],
        ["signature", f"names {signer} (verify --public-key checks it)" if signer else "none"],
        ["operator set", ", ".join(f"{domain} {version}" for domain, version in opsets.items())],
        ["operators", ", ".join(f"{count} {name}" for name, count in document["operators"].items())],
        ["weights' SHA-256", document["initializers_sha256"]],
    ]
    if document.get("producer"):
        lines.append(["producer", document["producer"]])
    lines += [[key, "; ".join(document[key])] for key in ("inputs", "outputs") if document.get(key)]
    if document.get("external_data"):
        lines.append(["external data", f"weights lie in {', '.join(document['external_data'])}, beside this file"])
    others = document["other_metadata"]
    if "names" in others and "labels" not in metadata:
        lines.append(["labels (names)", _line(others["names"])])
    lines += [[f"metadata: {key}", text] for key, text in others.items() if key != "names"]
    if "labels" in metadata:
        labels = metadata["labels"]
        lines.append(["labels", ", ".join(map(_line, labels)) if isinstance(labels, list) else _line(labels)])
    lines += [[key, _line(value)] for key, value in metadata.items() if key not in SHOWN_APART]
    card = metadata.get("card", {})
    cards = {f"card: {key}": value for key, value in card.items()} if isinstance(card, dict) else {"card": card}
    lines += [[key, _line(value)] for key, value in cards.items()]
    width = max(len(printable(key)) for key, _ in lines)
    for key, value in lines:
        typer.echo(f"{printable(key):<{width}}  {printable(value)}")


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(map(_line, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
