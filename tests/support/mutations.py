"""Files as accidents and fuzzers leave them: bytes changed, cut off, repeated, or mixed with another file's."""

import numpy as np


def mutate(content: bytes, other: bytes, generator: np.random.Generator) -> bytes:
    """One mutation of `content`; never the same bytes."""
    while True:
        kind = generator.integers(5)
        position = int(generator.integers(len(content)))
        length = int(generator.integers(1, max(2, len(content) // 4)))
        if kind == 0:  # a few bytes anywhere
            mutated = bytearray(content)
            for _ in range(generator.integers(1, 9)):
                mutated[generator.integers(len(content))] = generator.integers(256)
        elif kind == 1:  # a few bytes of the head, where formats say how the rest is to be read
            mutated = bytearray(content)
            for _ in range(generator.integers(1, 9)):
                mutated[generator.integers(min(64, len(content)))] = generator.integers(256)
        elif kind == 2:  # cut off
            mutated = bytearray(content[:position])
        elif kind == 3:  # a piece taken out, or put in twice
            twice = bool(generator.integers(2))
            mutated = bytearray(content[: position + length * twice] + content[position + length * (not twice) :])
        else:  # the end of another file
            mutated = bytearray(content[:position] + other[int(generator.integers(len(other))) :])
        if bytes(mutated) != content:
            return bytes(mutated)
