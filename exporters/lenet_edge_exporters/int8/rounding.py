"""Rounding of weights in which each weight makes up for the errors of those rounded before it.

What counts is a layer's sums, not its single weights: over inputs X [n, inputs] the squared error of an output is
e H e', e being the errors of its weights and H = X'X. The weights are rounded in turn, each to the code that is best
while all later ones may still move (Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers"). With H = M M', M upper triangular, e H e' is the sum of the squares of e M, and the i-th
of these depends on the first i errors alone: each step needs one column of M (the nearest plane of Babai 1986).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet_edge_exporters.int8.weights import LARGEST

Numbers = NDArray[np.float64]
DAMPING = 0.01  # of H's mean diagonal: weights whose inputs no image lights up are rounded by themselves
PAIR = LARGEST + 1  # what two neighbours of one sign may reach together: 255 * 128 fits into 16 bits


@dataclass(frozen=True)
class Rounded:
    """Codes [outputs, inputs] of weights, and what the biases [outputs] gain for the errors that are left."""

    codes: Numbers
    gain: Numbers


def rounded(weights: Numbers, steps: Numbers, products: Numbers, beside: NDArray[np.int64]) -> Rounded:
    """Round weights [outputs, inputs] at scales [outputs] for inputs with these sums of `products`.

    `products` is X'X, [inputs + 1, inputs + 1], where the last column of X is 1: the bias's. `beside`: of
    `weights.neighbours`. No output's error on X is greater than that of plain rounding, whose codes have to be such
    that no neighbours reach more than `PAIR` together.
    """
    plain = _with_gain(np.rint(weights / steps[:, None]), weights, steps, products)
    made = _with_gain(_in_turn(weights, steps, products, beside), weights, steps, products)
    better = squared_errors(made, weights, steps, products) < squared_errors(plain, weights, steps, products)
    return Rounded(np.where(better[:, None], made.codes, plain.codes), np.where(better, made.gain, plain.gain))


def squared_errors(found: Rounded, weights: Numbers, steps: Numbers, products: Numbers) -> Numbers:
    """The squared error of each output, summed over the inputs that `products` are of."""
    errors = np.column_stack([weights - found.codes * steps[:, None], -found.gain])
    squares: Numbers = ((errors @ products) * errors).sum(1)
    return squares


def _in_turn(weights: Numbers, steps: Numbers, products: Numbers, beside: NDArray[np.int64]) -> Numbers:
    """The codes, each made up for in those behind it, as far as their neighbours allow."""
    columns = _upper_root(products).T.copy()  # M' and the errors row by row: each step reads what lies together
    codes, errors = np.zeros((2, *weights.T.shape))
    for i, exact in enumerate(weights.T):
        owed = columns[i, :i] @ errors[:i] / columns[i, i]
        least, greatest = np.full((2, len(weights)), LARGEST)
        for neighbour in beside[:, i]:
            if 0 <= neighbour < i:
                least = np.minimum(least, PAIR + codes[neighbour])
                greatest = np.minimum(greatest, PAIR - codes[neighbour])
        codes[i] = np.clip(np.rint((exact + owed) / steps), -least, greatest)
        errors[i] = exact - codes[i] * steps
    rows: Numbers = codes.T
    return rows


def _upper_root(products: Numbers) -> Numbers:
    """M, upper triangular, with M M' the damped products."""
    inputs = len(products) - 1
    mean = np.trace(products[:inputs, :inputs]) / inputs
    damped = products + np.diag([*[DAMPING * mean or 1.0] * inputs, 0.0])
    return np.linalg.cholesky(damped[::-1, ::-1])[::-1, ::-1].astype(np.float64)


def _with_gain(codes: Numbers, weights: Numbers, steps: Numbers, products: Numbers) -> Rounded:
    """What the bias has to gain so that the mean error is 0."""
    errors = weights - codes * steps[:, None]
    return Rounded(codes, errors @ products[:-1, -1] / products[-1, -1])
