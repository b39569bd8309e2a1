"""The file that proves itself: read without the onnx package, sealed, and its known answers replayed."""

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge_runtime import Classifier, ModelFileError, onnx_file, proof
from lenet_edge_runtime.proof import KnownAnswers
from trained_runs import exported

ONNX_FORMATS = ("onnx", "int8")


@pytest.fixture(params=ONNX_FORMATS)
def path(request: pytest.FixtureRequest, digits_run: Run) -> Path:
    return exported(digits_run, request.param)


def nested_ifs(depth: int) -> bytes:
    """A model of `If` nodes within the branches of `If` nodes."""
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
    return helper.make_model(graph).SerializeToString()


# --- reading -------------------------------------------------------------------------------------------------------


def test_summary_is_what_the_onnx_package_reads(path: Path) -> None:
    model = onnx.load(path)
    found = onnx_file.summarise(path.read_bytes())
    operators = [node.op_type for node in model.graph.node]
    assert found.operators == {name: operators.count(name) for name in sorted(set(operators))}
    assert found.opsets == {entry.domain: entry.version for entry in model.opset_import}
    assert found.ir_version == model.ir_version
    assert found.initializer_bytes == sum(item.ByteSize() for item in model.graph.initializer)
    assert not found.has_external_data
    assert onnx_file.metadata_of(path.read_bytes()) == {item.key: item.value for item in model.metadata_props}


@given(st.dictionaries(st.text(), st.text(max_size=300), max_size=5))
def test_appended_metadata_is_read_by_the_onnx_package(entries: dict[str, str]) -> None:
    content = helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString()
    appended = onnx_file.append_metadata(content, entries)
    assert {item.key: item.value for item in onnx.load_from_string(appended).metadata_props} == entries
    assert onnx_file.metadata_of(appended) == entries


def test_external_data_and_foreign_operators_are_seen() -> None:
    tensor = TensorProto(name="w", data_type=1, data_location=TensorProto.EXTERNAL, dims=[1])
    tensor.external_data.add(key="location", value="../../etc/passwd")
    node = helper.make_node("Exec", ["w"], ["y"], domain="com.evil")
    content = helper.make_model(helper.make_graph([node], "g", [], [], [tensor])).SerializeToString()
    found = onnx_file.summarise(content)
    assert found.has_external_data
    assert found.operators == {"com.evil::Exec": 1}


def test_operators_within_branches_are_counted_and_depth_is_bounded() -> None:
    assert onnx_file.summarise(nested_ifs(3)).operators == {"If": 3}
    with pytest.raises(ModelFileError, match="nests graphs"):
        onnx_file.summarise(nested_ifs(30))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(ModelFileError):
        onnx_file.summarise(content)


def test_every_cut_is_read_or_refused(path: Path) -> None:
    content = path.read_bytes()
    for end in np.random.default_rng(0).integers(0, len(content), 300):
        with contextlib.suppress(ModelFileError):
            onnx_file.summarise(content[:end])


# --- proving -------------------------------------------------------------------------------------------------------


def test_exported_file_proves_itself(path: Path) -> None:
    classifier = Classifier(path)
    found = proof.prove(path.read_bytes(), classifier.metadata, classifier.logits)
    assert found.passed
    assert found.known_answers == 16
    assert (found.tolerance == 0) == path.name.endswith(".int8.onnx")  # bit for bit where all is integer
    assert found.initializers_sha256 == onnx_file.summarise(path.read_bytes()).initializers_sha256


def test_known_answers_are_pytorchs(path: Path, digits_run: Run) -> None:
    pytest.importorskip("torch", reason="a device has no torch to compare with")
    from lenet_edge.runs.reference import run_model

    answers = KnownAnswers.from_json(Classifier(path).metadata[proof.KNOWN_ANSWERS])
    expected = run_model(digits_run).logits(answers.pixels)
    assert (answers.logits.argmax(1) == expected.argmax(1)).all()
    assert len(set(expected.argmax(1))) == 10  # every class is among them


def test_every_flipped_byte_of_the_initializers_is_found(path: Path) -> None:
    """200 random single-byte flips in the weights: all load in onnxruntime, none keeps the seal."""
    content = path.read_bytes()
    spans = []
    for tensor in [tensor for tensor in onnx.load(path).graph.initializer if tensor.raw_data]:  # shapes have none
        start = content.find(tensor.raw_data)
        assert start > 0
        spans.append((start, len(tensor.raw_data)))
    positions = np.concatenate([np.arange(start, start + length) for start, length in spans])
    generator = np.random.default_rng(0)
    for position in generator.choice(positions, 200, replace=False):
        flipped = bytearray(content)
        flipped[position] ^= int(generator.integers(1, 256))
        assert not proof.is_sealed(bytes(flipped))


def test_flips_anywhere_else_are_found_too(path: Path) -> None:
    content = path.read_bytes()
    for position in np.random.default_rng(1).integers(0, len(content), 200):
        flipped = bytearray(content)
        flipped[position] ^= 1
        assert not proof.is_sealed(bytes(flipped))


def test_wrong_answers_are_found(path: Path, digits: ImageData) -> None:
    classifier = Classifier(path)
    wrong = proof.prove(path.read_bytes(), classifier.metadata, lambda pixels: classifier.logits(pixels) + 0.01)
    assert wrong.sealed
    assert not wrong.passed
    nan = proof.prove(path.read_bytes(), classifier.metadata, lambda pixels: classifier.logits(pixels) * np.nan)
    assert nan.greatest_difference == np.inf


@given(st.integers(1, 5), st.sampled_from([1, 3]), st.floats(0, 0.0099), st.integers(0, 100))
def test_known_answers_round_trip(count: int, channels: int, share: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, channels, 6, 7), dtype=np.uint8)
    logits = generator.normal(size=(count, 4)).astype(np.float32)
    tolerance = share * float(np.abs(logits).max())
    answers = KnownAnswers(pixels, logits, tolerance)
    found = KnownAnswers.from_json(answers.to_json())
    np.testing.assert_array_equal(found.pixels, pixels)
    np.testing.assert_array_equal(found.logits, answers.logits)
    assert found.tolerance == tolerance


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"shape": [1, 1, 2, 2], "pixels": "AAAA", "logits": "", "tolerance": 0}']
)
def test_damaged_known_answers_are_refused(text: str) -> None:
    with pytest.raises(ModelFileError, match="known answers are damaged"):
        KnownAnswers.from_json(text)


def test_a_decompression_bomb_is_not_unpacked() -> None:
    bomb = KnownAnswers(np.zeros((1, 1, 20_000, 20_000), np.uint8), np.zeros((1, 2), np.float32), 0).to_json()
    lying = bomb.replace("[1, 1, 20000, 20000]", "[1, 1, 2, 2]")
    answers = KnownAnswers.from_json(lying)
    assert answers.pixels.shape == (1, 1, 2, 2)


def test_file_without_evidence_is_refused(path: Path) -> None:
    with pytest.raises(ModelFileError, match="no seal and no known answers"):
        proof.prove(path.read_bytes(), {}, Classifier(path).logits)


def test_proof_fails_when_any_part_does() -> None:
    whole = proof.Proof(True, 16, 0.0, 0.0, "", None)
    assert whole.passed
    for change in ({"sealed": False}, {"known_answers": 0}, {"greatest_difference": 1e-9}):
        assert not replace(whole, **change).passed
