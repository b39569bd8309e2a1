"""MNIST's spec, and any spec for property tests."""

from hypothesis import strategies as st

from lenet_edge_runtime import ModelSpec

# of MNIST's images
GREY_SPEC = ModelSpec(tuple("0123456789"), 28, 28, (0.1307,), (0.3081,), padding=2, polarity="light-on-dark")

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
