"""What a file says of itself survives the way into metadata and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import GREY_SPEC
from lenet_edge_runtime import ModelFileError, ModelSpec

finite = st.floats(-10, 10)
positive = st.floats(1e-6, 10)
labels = st.lists(st.text(min_size=1), min_size=2, max_size=12, unique=True).map(tuple)


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    channels = draw(st.sampled_from([1, 3]))
    return ModelSpec(
        labels=draw(labels),
        height=draw(st.integers(1, 512)),
        width=draw(st.integers(1, 512)),
        mean=tuple(draw(finite) for _ in range(channels)),
        std=tuple(draw(positive) for _ in range(channels)),
        padding=draw(st.integers(0, 8)),
        polarity=draw(st.sampled_from(["light-on-dark", "dark-on-light", "any"])),
        fit=draw(st.sampled_from(["mnist", "resize"] if channels == 1 else ["resize"])),
    )


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
        ({"lenet_edge.std": "[Infinity]"}, "mean and std have to be finite"),
        ({"lenet_edge.mean": "[NaN]"}, "mean and std have to be finite"),
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
