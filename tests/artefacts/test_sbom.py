"""The bill of materials: valid CycloneDX, the same twice, and true of the files beside it."""

import json
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from command_line import CommandLine
from lenet_edge.runs.run import Run
from lenet_edge_exporters import manifest
from lenet_edge_runtime.sessions import sha256_of


def test_bill_lists_what_is_there(cli: CommandLine, digits_run: Run) -> None:
    bills = []
    for out in ("one", "two"):
        result = cli("export", digits_run.folder, "--format", "onnx", "--out", out, "--sbom", "--max-drop", "100")
        assert result.exit_code == 0, result.output
        (path,) = Path(out).glob("*.cdx.json")
        assert path.name in manifest.read(Path(out))
        bills.append(path.read_text())
    assert bills[0] == bills[1]
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bills[0]) is None
    document = json.loads(bills[0])
    record = digits_run.read()
    model, parts = document["metadata"]["component"], document["components"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": sha256_of(digits_run.weights_path)}]
    (file,) = (part for part in parts if part["type"] == "file")
    assert file["hashes"] == [{"alg": "SHA-256", "content": sha256_of(Path("one") / file["name"])}]
    found = {part["name"].partition(": ")[2]: part["hashes"][0]["content"] for part in parts if part["type"] == "data"}
    assert found == record.data_md5s
    assert {"torch", "onnx", "lenet-edge"} <= {part["name"] for part in parts if part["type"] == "library"}
