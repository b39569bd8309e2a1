"""A TFLite model being built, by the classes that LiteRT generates from TFLite's schema (no TensorFlow, no converter).

https://github.com/google-ai-edge/LiteRT, tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet_edge_runtime.tflite_file import IDENTIFIER, schema

Shape = tuple[int, ...]
ALIGNMENT = 16  # of every buffer, as the schema asks: microcontrollers read int32 in place


@dataclass(frozen=True)
class Codes:
    """A tensor of codes without its batch, (height, width, channels) or (n,): scale * (code - zero_point)."""

    shape: Shape
    scale: float
    zero_point: int


@dataclass(frozen=True)
class Numbers:
    """A tensor of float32 numbers without its batch, (height, width, channels) or (n,)."""

    shape: Shape


class ModelWriter:
    """Collects tensors and operators; `content` gives the file's bytes, the same for the same calls.

    `versions`: the first version of each operator that has the types used; an older runtime refuses the file by it.
    """

    def __init__(self, versions: Mapping[str, int]) -> None:
        self._schema = schema()
        self._versions = versions
        self._buffers: list[NDArray[np.uint8] | None] = [None]  # the first is empty: of tensors without constants
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[str] = []

    def activation(self, name: str, shape: Shape, kind: str, scale: float | None = None, zero_point: int = 0) -> int:
        """Add a tensor of one image, or of several by resizing; return its number."""
        tensor = self._tensor(name, (1, *shape), kind, 0)
        tensor.shapeSignature = [-1, *shape]
        if scale is not None:
            tensor.quantization = self._schema.QuantizationParametersT(scale=[scale], zeroPoint=[zero_point])
        return self._added(tensor)

    def constant(self, name: str, values: NDArray[Any], scales: NDArray[np.float32] | None = None) -> int:
        """Add a constant, with a scale for each entry of its first axis if it is quantized; return its number."""
        self._buffers.append(np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8))
        tensor = self._tensor(name, values.shape, str(values.dtype).upper(), len(self._buffers) - 1)
        if scales is not None:
            tensor.quantization = self._schema.QuantizationParametersT(
                scale=[float(scale) for scale in scales], zeroPoint=[0] * len(scales), quantizedDimension=0
            )
        return self._added(tensor)

    def operator(
        self, kind: str, inputs: list[int], name: str, target: Codes | Numbers, options: str, values: Mapping[str, Any]
    ) -> int:
        """Append an operator that gives int8 codes, or float32; return the number of the tensor that it writes."""
        if isinstance(target, Codes):
            result = self.activation(name, target.shape, "INT8", target.scale, target.zero_point)
        else:
            result = self.activation(name, target.shape, "FLOAT32")
        self.append(kind, inputs, result, options, values)
        return result

    def append(self, kind: str, inputs: list[int], output: int, options: str, values: Mapping[str, Any]) -> None:
        """Append an operator that writes the tensor `output`; `options` is the schema's name of their table or NONE."""
        if kind not in self._codes:
            self._codes.append(kind)
        self._operators.append(
            self._schema.OperatorT(
                opcodeIndex=self._codes.index(kind),
                inputs=inputs,
                outputs=[output],
                builtinOptionsType=getattr(self._schema.BuiltinOptions, options),
                builtinOptions=None if options == "NONE" else getattr(self._schema, options + "T")(**values),
            )
        )

    def type_of(self, kind: str) -> int:
        """The schema's number of a type of numbers."""
        return int(getattr(self._schema.TensorType, kind))

    def rename(self, tensor: int, name: str) -> None:
        """Give a tensor another name."""
        self._tensors[tensor].name = name

    def content(self, source: int, target: int, entries: Mapping[str, bytes]) -> bytes:
        """The bytes of a model from tensor `source` to `target`, with `entries` as its metadata."""
        from flatbuffers import Builder

        s = self._schema
        first = len(self._buffers)
        buffers = [*self._buffers, *(np.frombuffer(value, np.uint8) for value in entries.values())]
        ends = [[s.TensorMapT(name=self._tensors[tensor].name, tensorIndex=tensor)] for tensor in (source, target)]
        model = s.ModelT(
            version=3,
            description="lenet-edge",
            operatorCodes=[self._code(kind) for kind in self._codes],
            subgraphs=[s.SubGraphT(self._tensors, [source], [target], self._operators, name="main")],
            buffers=[_aligned_buffer(s, values) for values in buffers],
            metadata=[s.MetadataT(name, first + place) for place, name in enumerate(entries)],
            signatureDefs=[s.SignatureDefT(*ends, signatureKey="serving_default")],
        )
        builder = Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def _code(self, kind: str) -> Any:
        number = getattr(self._schema.BuiltinOperator, kind)
        return self._schema.OperatorCodeT(min(number, 127), None, self._versions[kind], number)

    def _tensor(self, name: str, shape: Shape, kind: str, buffer: int) -> Any:
        return self._schema.TensorT(name=name, shape=list(shape), type=self.type_of(kind), buffer=buffer, hasRank=True)

    def _added(self, tensor: Any) -> int:
        self._tensors.append(tensor)
        return len(self._tensors) - 1


def _aligned_buffer(s: Any, values: NDArray[np.uint8] | None) -> Any:
    """A buffer of the schema that packs itself at a multiple of 16, which Python's generated class leaves out."""

    class AlignedBuffer(s.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> int:  # noqa: N802, the generated name
            if values is None:
                s.BufferStart(builder)
                return int(s.BufferEnd(builder))
            builder.StartVector(1, len(values), ALIGNMENT)
            builder.head -= len(values)
            builder.Bytes[builder.head : builder.head + len(values)] = values.tobytes()
            data = builder.EndVector()
            s.BufferStart(builder)
            s.BufferAddData(builder, data)
            return int(s.BufferEnd(builder))

    return AlignedBuffer()
