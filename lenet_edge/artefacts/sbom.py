"""A bill of materials of an export (CycloneDX 1.6, an "ML-BOM"): the model, its files, weights, data and packages.

By the package cyclonedx-python-lib (`pip install 'lenet-edge[sbom]'`). Without a date, and with a serial number that
follows from the content, so that exporting twice gives the same bytes. https://cyclonedx.org/capabilities/mlbom
"""

import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lenet_edge.runs.record import RunRecord
from lenet_edge_exporters import Artifact, atomic
from lenet_edge_runtime.extras import require

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

SUFFIX = ".cdx.json"
UNKNOWN = "unknown"  # the weights' licence: only whoever publishes them can grant one
LICENCES = {"lenet-edge": "MIT"}  # of which code goes into the exported C and JavaScript


def write(path: Path, record: RunRecord, artifacts: Sequence[Artifact], weights_sha256: str) -> Path:
    """Write the bill of these files; raises MissingExtraError where the package is not installed."""
    atomic.write_text(path, render(record, artifacts, weights_sha256))
    return path


def render(record: RunRecord, artifacts: Sequence[Artifact], weights_sha256: str) -> str:
    """The bill's JSON, the same for the same run and files."""
    require("sbom", "--sbom")
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    stated = json.dumps([weights_sha256, record.data_md5s, [(item.path.name, item.sha256) for item in artifacts]])
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_OID, stated))
    model = _model(record, artifacts, weights_sha256)
    bom.metadata.component = model
    parts = [*_files(artifacts), *_data(record), *_packages(record)]
    bom.components.update(parts)
    bom.register_dependency(model, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"].pop("timestamp", None)
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _model(record: RunRecord, artifacts: Sequence[Artifact], weights_sha256: str) -> "Component":
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense

    cards = {f"accuracy of {item.path.name}": item.card["accuracy"] for item in artifacts if item.card}
    said = {
        "architecture": record.recipe.model.architecture,
        "recipe": record.recipe.name,
        "labels": json.dumps(list(record.spec.labels), ensure_ascii=False),
        "input": json.dumps(record.spec.pixel_shape),
        "seed": record.seed,
        "parameters": record.metrics["parameters"],
        **cards,
    }
    return Component(
        name=f"{record.recipe.name}-{record.dataset}",
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="model",
        version=weights_sha256[:12],
        licenses=[DisjunctiveLicense(name=UNKNOWN)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=weights_sha256)],
        properties=_properties(said),
    )


def _files(artifacts: Sequence[Artifact]) -> list["Component"]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(
            name=item.path.name,
            type=ComponentType.FILE,
            bom_ref=f"file:{item.path.name}",
            hashes=[] if item.path.is_dir() else [HashType(alg=HashAlgorithm.SHA_256, content=item.sha256)],
            properties=_properties({"format": item.format, "bytes": item.bytes, "sha256": item.sha256}),
        )
        for item in artifacts
    ]


def _data(record: RunRecord) -> list["Component"]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    return [
        Component(
            name=f"{record.dataset}: {name}",
            type=ComponentType.DATA,
            bom_ref=f"data:{name}",
            hashes=[HashType(alg=HashAlgorithm.MD5, content=md5)],
        )
        for name, md5 in record.data_md5s.items()
    ]


def _packages(record: RunRecord) -> list["Component"]:
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from packageurl import PackageURL

    from lenet_edge_runtime.host import installed_versions

    exported_by = installed_versions(("lenet-edge", "torch", "onnx", "onnxscript", "onnxruntime"))
    return [
        Component(
            name=name,
            type=ComponentType.LIBRARY,
            bom_ref=f"package:{name}",
            version=version,
            licenses=[DisjunctiveLicense(id=LICENCES[name])] if name in LICENCES else [],
            purl=None if name == "python" else PackageURL("pypi", None, name, version),
        )
        for name, version in sorted({**record.versions, **exported_by}.items())
    ]


def _properties(values: dict[str, Any]) -> list[Any]:
    from cyclonedx.model import Property

    return [Property(name=f"lenet-edge:{name}", value=str(value)) for name, value in values.items()]
