"""What every kind of corruption takes and gives."""

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.float32]  # [n, 28, 28], from 0 (dark) to 1; a result may leave that range, and is clipped


def signs(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """-1 or 1 for each of `count` images."""
    return 2 * generator.integers(2, size=count) - 1
