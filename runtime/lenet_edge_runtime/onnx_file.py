"""Reading an ONNX file as what it is, a protocol buffer, without the onnx package.

A device checks what it runs with numpy and onnxruntime alone. Field numbers: onnx/onnx.proto (ModelProto, GraphProto,
NodeProto, AttributeProto, TensorProto); wire format: protobuf.dev/programming-guides/encoding.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lenet_edge_runtime.errors import ModelFileError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# TensorProto.DataType, and operators that leave the values as they are.
_ELEMENTS = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
_SEEN_THROUGH = frozenset(
    {
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Cast",
        "QuantizeLinear",
        "DequantizeLinear",
        "Transpose",
    }
)
_MAX_DEPTH = 8  # of graphs within attributes of nodes; a hostile file nests thousands
_MAX_FIELDS = 2**20  # of one message, two bytes each at the least: a file of nothing else would fill the memory


@dataclass(frozen=True)
class OnnxSummary:
    """What an ONNX file consists of; `initializers_sha256` is over their serialized messages in the file's order."""

    ir_version: int
    opsets: dict[str, int]  # operator set by domain; "" is ONNX's own
    operators: dict[str, int]  # how often each occurs, `domain::Type` outside of ONNX's own
    initializer_bytes: int
    initializers_sha256: str
    has_external_data: bool
    external_files: tuple[str, ...] = ()  # as the file names them, each once
    producer: str = ""
    inputs: tuple[str, ...] = ()  # each as "name type [shape]"
    outputs: tuple[str, ...] = ()
    last_operators: tuple[str, ...] = ()  # what each output comes from, but for changes of shape and type


def summarise(content: bytes) -> OnnxSummary:
    """Walk through a serialized ModelProto; raise ModelFileError where it is none."""
    view = memoryview(content)
    model = _fields(view)
    graph = _graph(content)
    initializers = _messages(graph, 5)
    functions = [node for function in _messages(view, 25) for node in _messages(function, 7)]
    nodes = list(_nodes([*_messages(graph, 1), *functions]))
    digest = hashlib.sha256()
    for tensor in initializers:
        digest.update(len(tensor).to_bytes(8, "little"))
        digest.update(tensor)
    return OnnxSummary(
        ir_version=next((value for number, value in model if number == 1 and isinstance(value, int)), 0),
        opsets=dict(_opset(entry) for entry in _messages(view, 8)),
        operators=dict(sorted(_count_operators(nodes).items())),
        initializer_bytes=sum(len(tensor) for tensor in initializers),
        initializers_sha256=digest.hexdigest(),
        has_external_data=any(map(_is_external, _tensors(graph, nodes))),
        external_files=tuple(dict.fromkeys(file for tensor in _tensors(graph, nodes) for file in _locations(tensor))),
        producer=" ".join(_text(view, number) for number in (2, 3)).strip(),
        inputs=tuple(_described(value) for value in _messages(graph, 11)),
        outputs=tuple(_described(value) for value in _messages(graph, 12)),
        last_operators=tuple(_operator_behind(_messages(graph, 1), _text(value, 1)) for value in _messages(graph, 12)),
    )


def check_is_model(content: bytes) -> None:
    """Look at the outermost message alone; raise ModelFileError where it is no ModelProto."""
    _graph(content)


def append_metadata(content: bytes, entries: dict[str, str]) -> bytes:
    """Add metadata_props to a serialized ModelProto: repeated fields may simply follow at the end."""
    for key, value in entries.items():
        pair = b"".join(_field(number, text.encode()) for number, text in ((1, key), (2, value)))
        content += _field(14, pair)
    return content


def metadata_of(content: bytes) -> dict[str, str]:
    """The metadata_props of a serialized ModelProto."""
    found = {}
    for pair in _messages(memoryview(content), 14):
        texts = {
            number: bytes(value).decode("utf-8", "replace")
            for number, value in _fields(pair)
            if isinstance(value, memoryview)
        }
        found[texts.get(1, "")] = texts.get(2, "")
    return found


def _graph(content: bytes) -> memoryview:
    graphs = _messages(memoryview(content), 7)
    if len(graphs) != 1:
        raise ModelFileError("not an ONNX model: it holds no graph")
    return graphs[0]


def _nodes(nodes: list[memoryview], depth: int = 0) -> Iterator[memoryview]:
    """These nodes and all within the graphs in their attributes."""
    if depth > _MAX_DEPTH:
        raise ModelFileError(f"the model nests graphs more than {_MAX_DEPTH} deep; that is not a classifier")
    for node in nodes:
        yield node
        for graph in _subgraphs(node):
            yield from _nodes(_messages(graph, 1), depth + 1)


def _subgraphs(node: memoryview) -> list[memoryview]:
    return [graph for attribute in _messages(node, 5) for number in (6, 11) for graph in _messages(attribute, number)]


def _count_operators(nodes: list[memoryview]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for node in nodes:
        names = {
            number: bytes(value).decode("utf-8", "replace")
            for number, value in _fields(node)
            if number in (4, 7) and isinstance(value, memoryview)
        }
        domain = names.get(7, "")
        counts[f"{domain}::{names.get(4, '')}" if domain not in ("", "ai.onnx") else names.get(4, "")] += 1
    return counts


def _tensors(graph: memoryview, nodes: list[memoryview]) -> Iterator[memoryview]:
    """Every TensorProto: initializers, dense and sparse, of all graphs, and those in attributes of nodes."""
    for holder in (graph, *(inner for node in nodes for inner in _subgraphs(node))):
        yield from _messages(holder, 5)
        for sparse in _messages(holder, 15):
            yield from (*_messages(sparse, 1), *_messages(sparse, 2))
    for attribute in (item for node in nodes for item in _messages(node, 5)):
        yield from (*_messages(attribute, 5), *_messages(attribute, 10))
        for sparse in (*_messages(attribute, 22), *_messages(attribute, 23)):
            yield from (*_messages(sparse, 1), *_messages(sparse, 2))


def _is_external(tensor: memoryview) -> bool:
    """Whether it has TensorProto.external_data, or data_location == EXTERNAL."""
    return any(number == 13 or (number, value) == (14, 1) for number, value in _fields(tensor))


def _locations(tensor: memoryview) -> list[str]:
    """The files that a TensorProto's external_data names; "" for one that names none and ought to."""
    if not _is_external(tensor):
        return []
    found = [_text(entry, 2) for entry in _messages(tensor, 13) if _text(entry, 1) == "location"]
    return found or [""]


def _text(view: memoryview, wanted: int) -> str:
    return next((bytes(item).decode("utf-8", "replace") for item in _messages(view, wanted)), "")


def _described(value: memoryview) -> str:
    """A ValueInfoProto as "name type [shape]"."""
    tensors = [tensor for kind in _messages(value, 2) for tensor in _messages(kind, 1)]
    if not tensors:
        return _text(value, 1)
    code = next((item for number, item in _fields(tensors[0]) if number == 1 and isinstance(item, int)), 0)
    dims = [_dimension(dim) for shape in _messages(tensors[0], 2) for dim in _messages(shape, 1)]
    return f"{_text(value, 1)} {_ELEMENTS.get(code, f'type {code}')} [{', '.join(dims)}]"


def _dimension(dim: memoryview) -> str:
    number = next((item for key, item in _fields(dim) if key == 1 and isinstance(item, int)), None)
    return _text(dim, 2) or "?" if number is None else str(number)


def _operator_behind(nodes: list[memoryview], name: str) -> str:
    """The operator that a value comes from, seen through those that change its shape, type or codes alone."""
    makers = {bytes(output).decode("utf-8", "replace"): node for node in nodes for output in _messages(node, 2)}
    for _ in range(len(nodes)):
        if (node := makers.get(name)) is None:
            break
        operator = _text(node, 4)
        if operator not in _SEEN_THROUGH:
            return operator
        name = _text(node, 1)
    return ""


def _opset(entry: memoryview) -> tuple[str, int]:
    domain, version = "", 0
    for number, value in _fields(entry):
        if number == 1 and isinstance(value, memoryview):
            domain = bytes(value).decode("utf-8", "replace")
        elif number == 2 and isinstance(value, int):
            version = value
    return domain, version


def _messages(view: memoryview, wanted: int) -> list[memoryview]:
    return [value for number, value in _fields(view) if number == wanted and isinstance(value, memoryview)]


def _fields(view: memoryview) -> list[tuple[int, int | memoryview]]:
    """The fields of a message: (number, varint or bytes); fixed-width ones as bytes."""
    fields = list(itertools.islice(_walk(view), _MAX_FIELDS + 1))
    if len(fields) > _MAX_FIELDS:
        raise ModelFileError(f"not an ONNX model for this tool: a message has more than {_MAX_FIELDS:,} fields")
    return fields


def _walk(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(view):
        tag, position = _varint(view, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(view, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(view, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ModelFileError("not an ONNX model: its bytes are no protocol buffer")
        if number == 0 or length > len(view) - position:
            raise ModelFileError("not an ONNX model: it is cut off or its bytes are no protocol buffer")
        yield number, view[position : position + length]
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise ModelFileError("not an ONNX model: it is cut off")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ModelFileError("not an ONNX model: its bytes are no protocol buffer")


def _field(number: int, content: bytes) -> bytes:
    return _encode(number << 3 | _BYTES) + _encode(len(content)) + content


def _encode(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
