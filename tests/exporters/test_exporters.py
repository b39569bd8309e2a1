"""Every format against the PyTorch model: the same logits for any batch, one file, the same bytes, nothing private."""

import getpass
import json
import logging
import socket
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from flatbuffers.table import Table

from export_jobs import NETS, make_job, reference, written
from lenet_edge_exporters import FORMATS, export, formats, open_file, ort, own_files
from lenet_edge_exporters.export_job import OPSETS, Measurement
from lenet_edge_exporters.onnx import build, serialise
from lenet_edge_exporters.pixels import torch_model
from lenet_edge_runtime import ModelSpec, softmax
from lenet_edge_runtime.errors import GateError, ModelFileError
from lenet_edge_runtime.sessions import open_session
from trained_runs import EVERYWHERE

BATCHES = (1, 2, 7, 64)
ONNX_FORMATS = [row.name for row in FORMATS.values() if row.suffix.endswith(".onnx")]


@pytest.mark.parametrize("net", NETS)
def test_oracle_itself_normalises_as_written_out(net: str) -> None:
    job = make_job(net)
    found = torch_model(job.net, job.spec).logits(job.check_pixels)
    np.testing.assert_allclose(found, reference(job), atol=2e-5)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_logits_are_pytorchs_for_any_batch(format_name: str, net: str, tmp_path: Path) -> None:
    job = make_job(net)
    path = written(job, format_name, tmp_path)
    stated, model = open_file(path, verify=False)
    assert stated == format_name
    expected = reference(job)
    # int8 rounds: on random weights and random images, within 5 % of the range of the logits.
    tolerance = 0.05 * np.ptp(expected) if format_name == "int8" else 2e-5
    for batch in BATCHES:
        np.testing.assert_allclose(model.logits(job.check_pixels[:batch]), expected[:batch], atol=tolerance)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_exporting_twice_gives_the_same_bytes(format_name: str, net: str, tmp_path: Path) -> None:
    job = make_job(net)
    assert FORMATS[format_name].export(job) == FORMATS[format_name].export(job)


@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_file_names_no_place_and_nobody(format_name: str, tmp_path: Path) -> None:
    content = written(make_job("lenet5"), format_name, tmp_path).read_bytes()
    here = Path(__file__).resolve()
    private = [str(here.parent), str(Path.home()), str(tmp_path), "site-packages"]
    # Three letters turn up among random weights; whoever is called so is told nothing by finding them.
    private += [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 3]
    assert [name for name in private if name.encode() in content] == []


@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_file_carries_its_spec_and_origin(format_name: str, tmp_path: Path) -> None:
    job = make_job("lenet5")
    _, model = open_file(written(job, format_name, tmp_path), verify=False)
    assert ModelSpec.from_metadata(model.metadata) == job.spec
    assert model.metadata["lenet_edge.recipe"] == '"lenet5"'
    assert "torch" in model.metadata["lenet_edge.versions"]


@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_file_that_disagrees_is_left_as_rejected_alone(format_name: str, tmp_path: Path) -> None:
    job = make_job("lenet5")
    path = tmp_path / f"net{FORMATS[format_name].suffix}"
    with pytest.raises(GateError, match=r"disagrees with its network on 64 images.*; it is kept as net"):
        export(job, format_name, path, -reference(job))
    kept = formats.rejected_path(path)
    assert sorted(tmp_path.iterdir()) == sorted([kept, kept.with_suffix(".txt")])


@pytest.mark.parametrize("format_name", EVERYWHERE)
def test_nan_logits_are_no_agreement(format_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job("lenet5")
    broken = replace(FORMATS[format_name], load=lambda _path, _threads: NanModel())
    monkeypatch.setitem(formats.FORMATS, format_name, broken)
    with pytest.raises(GateError, match="largest logit difference nan"):
        export(job, format_name, tmp_path / "net", np.zeros((64, 10), np.float32))


class NanModel:
    def logits(self, pixels: np.ndarray) -> np.ndarray:
        return np.full((len(pixels), 10), np.nan, np.float32)


# --- ONNX ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ONNX_FORMATS)
def test_default_opset_reaches_old_runtimes(format_name: str, tmp_path: Path) -> None:
    model = onnx.load(written(make_job("lenet5"), format_name, tmp_path))
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert model.ir_version == 8
    assert not any(len(node.metadata_props) or node.doc_string for node in model.graph.node)
    (pixels,), (logits, probabilities) = model.graph.input, model.graph.output
    assert probabilities.name == "probabilities"
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [dim.dim_param or dim.dim_value for dim in pixels.type.tensor_type.shape.dim] == ["batch", 1, 28, 28]
    assert [dim.dim_param or dim.dim_value for dim in logits.type.tensor_type.shape.dim] == ["batch", 10]


@pytest.mark.parametrize("format_name", ONNX_FORMATS)
def test_probabilities_are_the_softmax_of_the_logits(format_name: str, tmp_path: Path) -> None:
    job = make_job("lenet5")
    session = open_session(written(job, format_name, tmp_path))
    logits, probabilities = session.run(["logits", "probabilities"], {"pixels": job.check_pixels})
    np.testing.assert_allclose(probabilities, softmax(logits), atol=1e-6)


@pytest.mark.parametrize(("net", "opset"), [*(("lenet5", opset) for opset in OPSETS), ("lenet5-classic", 13)])
def test_every_opset(net: str, opset: int, tmp_path: Path) -> None:
    job = make_job(net, opset)
    for format_name in ONNX_FORMATS:
        path = written(job, format_name, tmp_path)
        assert [entry.version for entry in onnx.load(path).opset_import] == [opset]


def test_preprocessing_is_folded_into_the_first_convolution(tmp_path: Path) -> None:
    operators = [node.op_type for node in onnx.load(written(make_job("lenet5"), "onnx", tmp_path)).graph.node]
    assert operators == [
        "Cast", "Conv", "Relu", "MaxPool", "Conv", "Relu", "MaxPool", "Reshape", "Gemm", "Relu", "Gemm", "Relu", "Gemm",
        "Softmax",
    ]  # fmt: skip


def test_preprocessing_stays_where_folding_is_not_exact(tmp_path: Path) -> None:
    """A convolution that pads normalised images pads with the mean colour: that is taken off, the scale is folded."""
    operators = [node.op_type for node in onnx.load(written(make_job("user's own"), "onnx", tmp_path)).graph.node]
    assert operators[:3] == ["Cast", "Add", "Conv"]


# --- pt2 -----------------------------------------------------------------------------------------------------------


def test_pt2_holds_no_pickle_no_images_and_no_source(tmp_path: Path) -> None:
    job = make_job("lenet5")
    with zipfile.ZipFile(written(job, "pt2", tmp_path)) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert entries["data/sample_inputs/model.pt"] == b""
    for part in ("weights", "constants"):
        payloads = json.loads(entries[f"data/{part}/model_{part}_config.json"])["config"].values()
        assert not any(payload["use_pickle"] for payload in payloads)
    graph = json.loads(entries["models/model.json"])["graph_module"]["graph"]
    assert [node["metadata"] for node in graph["nodes"]] == [{}] * len(graph["nodes"])
    assert not any(job.check_pixels[0].tobytes() in content for content in entries.values())


def test_damaged_pt2_is_refused_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(make_job("lenet5"), "pt2", tmp_path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content.replace(b"schema_version", b"schema_versiom")):
        path.write_bytes(damaged)
        own_files.remember(formats.sha256_of(damaged))
        with pytest.raises(ModelFileError, match="is not a pt2 file that torch can load") as refused:
            open_file(path)
        assert "\n" not in str(refused.value)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# --- ORT -----------------------------------------------------------------------------------------------------------


def ort_tables(content: bytes) -> Any:
    """All that an ORT file holds, read by the tables' own reader, which onnxruntime brings along."""
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    return as_plain(InferenceSession.GetRootAs(content, 0))


def as_plain(value: Any) -> Any:
    """A generated FlatBuffers table as a dictionary: a getter with a length is a list, any other a field."""
    if not hasattr(value, "Init"):
        return None if isinstance(value, Table) else value  # a bare Table is a union: its reader does not say of what
    getters = [name for name in dir(value) if name[0] != "_" and name != "Init" and "GetRootAs" not in name]
    lists = {name for name in getters if f"{name}Length" in getters}
    fields = [name for name in getters if name not in lists and not name.endswith(NO_FIELD)]
    return {
        **{
            name: [as_plain(getattr(value, name)(i)) for i in range(getattr(value, f"{name}Length")())]
            for name in lists
        },
        **{name: as_plain(getattr(value, name)()) for name in fields},
    }


NO_FIELD = ("Length", "IsNone", "AsNumpy", "BufferHasIdentifier")


@pytest.mark.parametrize("net", NETS)
def test_ort_keeps_all_that_onnxruntime_wrote(net: str) -> None:
    job = make_job(net)
    converted = ort.convert(serialise(build(job), job.metadata("ort")))
    assert ort_tables(ort.in_order(converted)) == ort_tables(converted)
    assert ort.in_order(ort.in_order(converted)) == ort.in_order(converted)


def test_ort_is_fused_but_not_for_one_machine_only(tmp_path: Path) -> None:
    graph = ort_tables(written(make_job("lenet5"), "ort", tmp_path).read_bytes())["Model"]["Graph"]
    operators = {f"{node['Domain'].decode()}:{node['OpType'].decode()}" for node in graph["Nodes"]}
    plain = {":Cast", ":MaxPool", ":Reshape", ":Gemm", ":Softmax"}
    assert operators == plain | {"com.microsoft:FusedConv", "com.microsoft:FusedGemm"}


def test_ort_without_room_for_it_is_one_line(tmp_path: Path) -> None:
    """A file-size limit stands for a full disk; in a process of its own, for it lasts."""
    onnx.save(build(make_job("lenet5")), tmp_path / "net.onnx")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000));"
        "from lenet_edge_exporters import ort; from lenet_edge_runtime.errors import ModelFileError\n"
        "try: ort.convert(open(sys.argv[1], 'rb').read())\n"
        "except ModelFileError as error: print(error)"
    )
    result = subprocess.run([sys.executable, "-c", code, tmp_path / "net.onnx"], capture_output=True, text=True)
    (line,) = result.stdout.splitlines()
    assert line.startswith("onnxruntime did not write the ORT file ("), result.stderr
    assert line.endswith(f"see that {tempfile.gettempdir()} has room, or name another folder by TMPDIR")


def test_ort_of_an_unknown_version_is_not_rewritten() -> None:
    job = make_job("user's own")
    newer = ort.convert(serialise(build(job), {})).replace(b"\1\0\0\x006\0", b"\1\0\0\x007\0")
    with pytest.raises(
        ModelFileError, match=r"writes version 7 of its format, expected 6; export as onnx, and convert"
    ):
        ort.in_order(newer)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("net.onnx", b"no model", "is not an ONNX model"),
        ("net.onnx", b"", "is not an ONNX model"),
        ("net.int8.onnx", b"\x08\x08", "not an ONNX model|carries no lenet-edge metadata"),
        ("net.torchscript.pt", b"PK no archive", "is not a TorchScript file"),
        ("net.pt2", b"PK no archive", "is not a pt2 file that torch can load"),
        ("net.pt2", b"", "is not a pt2 file that torch can load"),
        ("net.ort", b"\x14\0\0\0ORTM cut short", "is not an ONNX model"),
        (
            "net.mlmodel",
            b"",
            f"no known ending; exported files end in {', '.join(row.suffix for row in FORMATS.values())}",
        ),
    ],
)
def test_files_that_are_no_models_are_refused(name: str, content: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    own_files.remember(formats.sha256_of(content))  # else those that can carry code are refused for that alone
    with pytest.raises(ModelFileError, match=complaint):
        open_file(tmp_path / name)


def test_job_refuses_images_that_do_not_fit() -> None:
    job = make_job("lenet5")
    with pytest.raises(ValueError, match="images are uint8"):
        replace(job, check_pixels=job.check_pixels[..., :20])
    with pytest.raises(ValueError, match="opset is 13 to 21, got 12"):
        replace(job, opset=12)


def test_int8_that_changes_classes_is_judged_by_the_measurement_and_kept_with_the_reason_if_refused(
    tmp_path: Path,
) -> None:
    """A net whose classes are close together changes many of them in 8 bits, and may lose nothing by it."""
    job = make_job("lenet5")
    reference = torch_model(job.net, job.spec).logits(job.check_pixels)
    other = np.roll(reference, 1, axis=1)  # no image gets this class
    measured = replace(job, measure=lambda model: Measurement({}, passed=True))
    assert export(measured, "int8", tmp_path / "net.int8.onnx", other).agreement < 0.5
    former = (tmp_path / "net.int8.onnx").read_bytes()
    refused = replace(job, measure=lambda model: Measurement({}, passed=False, reason="too many are wrong"))
    artifact = export(refused, "int8", tmp_path / "net.int8.onnx", other)
    assert (artifact.passed, artifact.reason) == (False, "too many are wrong")
    with pytest.raises(GateError, match=r"agreement .* \(at least 0.97\).*; it is kept as net.int8.rejected.onnx"):
        export(job, "int8", tmp_path / "net.int8.onnx", other)
    assert (tmp_path / "net.int8.onnx").read_bytes() == former
    assert "disagrees with its network" in (tmp_path / "net.int8.rejected.txt").read_text(encoding="utf-8")
