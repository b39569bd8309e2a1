"""What a file says of itself survives the way into metadata and back."""

import json

import pytest
from hypothesis import given

from lenet_edge_runtime import ModelFileError, ModelSpec
from specs import GREY_SPEC, specs


@given(specs())
def test_round_trip(spec: ModelSpec) -> None:
    assert ModelSpec.from_metadata(spec.to_metadata()) == spec


def test_metadata_states_the_input_in_plain_json() -> None:
    metadata = GREY_SPEC.to_metadata()
    assert json.loads(metadata["lenet_edge.input"]) == {
        "layout": "NCHW", "dtype": "uint8", "shape": ["batch", 1, 28, 28],
    }  # fmt: skip
    assert json.loads(metadata["lenet_edge.labels"]) == list("0123456789")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"lenet_edge.std": "[0.0]"}, "std has to be above zero"),
        ({"lenet_edge.std": "[Infinity]"}, "std: Infinity is no number of JSON"),
        ({"lenet_edge.mean": "[NaN]"}, "mean: NaN is no number of JSON"),
        ({"lenet_edge.labels": '["a"]'}, "two or more different labels"),
        ({"lenet_edge.labels": "no JSON"}, "damaged"),
        ({"lenet_edge.input": "{}"}, "damaged"),
        ({"lenet_edge.polarity": '"sideways"'}, "polarity"),
        ({"lenet_edge.fit": '"crop"'}, "fit is one of"),
    ],
)
def test_damaged_metadata_is_refused(change: dict[str, str], complaint: str) -> None:
    with pytest.raises(ModelFileError, match=complaint):
        ModelSpec.from_metadata({**GREY_SPEC.to_metadata(), **change})


def test_missing_metadata_is_refused() -> None:
    with pytest.raises(ModelFileError, match="no lenet-edge metadata"):
        ModelSpec.from_metadata({"names": "{}"})
