"""What is read from logits: probabilities, whether the image shows any of the classes, and which it may show."""

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.errors import ModelFileError
from lenet_edge_runtime.spec import ModelSpec


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities, float64 [n, classes], of logits [n, classes]; shifted by the maximum so that none overflows."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def log_sum_exp(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """ln(sum(exp(logits))), float64 [n], of logits [n, classes]: high where the network knows what it sees.

    The free energy of Liu et al. 2020, "Energy-based Out-of-distribution Detection", with its sign turned.
    """
    greatest = logits.max(axis=1, keepdims=True).astype(np.float64)
    return np.asarray(np.log(np.exp(logits - greatest).sum(axis=1)) + greatest[:, 0])


def are_known(logits: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.bool_]:
    """Whether each image shows one of the classes, bool [n]; all do for a file without a threshold."""
    if spec.threshold is None:
        return np.ones(len(logits), np.bool_)
    return log_sum_exp(logits) >= spec.threshold


def label_sets(probabilities: NDArray[np.float64], spec: ModelSpec, coverage: float) -> list[tuple[str, ...]]:
    """For each row of probabilities [n, classes] the labels that hold the true one with probability `coverage`.

    The likeliest first, and never none. Raises ModelFileError where the file does not know this coverage.
    """
    quantiles = dict(spec.coverage)
    if coverage not in quantiles:
        known = ", ".join(f"{level:g}" for level in quantiles)
        raise ModelFileError(
            f"the file knows no sets of coverage {coverage:g}; "
            + (f"it has those of {known}" if known else "train again; imported weights have none")
        )
    order = np.argsort(-probabilities, axis=1, kind="stable")
    counts = np.maximum((1 - probabilities <= quantiles[coverage]).sum(axis=1), 1)
    return [tuple(spec.labels[i] for i in row[:count]) for row, count in zip(order, counts, strict=True)]
