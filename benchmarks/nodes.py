"""What each node costs of the graph that onnxruntime really runs, after its own rewriting.

    python benchmarks/nodes.py FILE.onnx... [--rounds 12]

The first node alone, the first two, and so on up to the whole graph are timed in turns, at batch 1 on one thread; a
node's cost is the difference to what ends before it. The profiler's own cost, microseconds a node, is not in it.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from lenet_edge.bench.measuring import known_images
from lenet_edge_runtime.host import describe_host
from lenet_edge_runtime.latency import Opener, measure
from lenet_edge_runtime.sessions import open_content


def optimised(path: Path) -> onnx.ModelProto:
    """The graph as onnxruntime makes it on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "optimised.onnx"
        open_content(path.read_bytes(), str(path), optimised=written)
        return onnx.load(written)


def beginning(model: onnx.ModelProto, nodes: int) -> bytes:
    """The first nodes of a graph as a model, whose output is the last one's."""
    part = onnx.ModelProto()
    part.CopyFrom(model)
    graph = part.graph
    del graph.node[nodes:], graph.output[:], graph.value_info[:]
    read = {name for node in graph.node for name in node.input}
    for item in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(item)
    graph.output.append(onnx.ValueInfoProto(name=graph.node[-1].output[0]))
    content: bytes = part.SerializeToString()
    return content


def opener(content: bytes, name: str, image: np.ndarray) -> Opener:
    """Opens a session that rewrites nothing more, and returns its call."""

    def opened() -> Callable[[], object]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        outputs, feed = [session.get_outputs()[0].name], {name: image}
        return lambda: session.run(outputs, feed)

    return opened


def main() -> None:
    """Print a table for each file."""
    parser = argparse.ArgumentParser(description="What each node of the optimised graph costs.")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--calls", type=int, default=250)
    arguments = parser.parse_args()
    for path in arguments.files:
        model, image = optimised(path), known_images([path])[:1]
        name = model.graph.input[0].name
        openers = {
            str(count): opener(beginning(model, count), name, image) for count in range(1, len(model.graph.node) + 1)
        }
        timings = measure(openers, rounds=arguments.rounds, calls=arguments.calls, warmup=30)
        print(f"{path}\n\n| node | us | in all |\n|---|---:|---:|")
        before = np.zeros(arguments.rounds)
        for node, timing in zip(model.graph.node, timings.values(), strict=True):
            so_far = np.array(timing.round_medians_us)
            print(f"| {node.op_type} | {statistics.median(so_far - before):.1f} | {statistics.median(so_far):.1f} |")
            before = so_far
        print()
    host = describe_host()
    print(f"{host['cpu']}, {host['cores']} cores, load {host['load_1min']}, {host['versions']}")


if __name__ == "__main__":
    main()
