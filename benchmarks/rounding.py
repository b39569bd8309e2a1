"""What rounding of int8 weights costs: to the nearest code, and with compensation, beside float32.

    python benchmarks/rounding.py RUN...                  # on the test set, for the figures in docs/int8.md
    python benchmarks/rounding.py RUN... --choosing       # on the validation images, by which it was chosen

A run is a folder, or pretrained:NAME. Both files have the scales that `lenet-edge export --int8` calibrates.
"""

import argparse
from pathlib import Path

import numpy as np

from lenet_edge.artefacts.exporting import export_job
from lenet_edge.evaluation.comparison import compare
from lenet_edge.evaluation.statistics import wilson_interval
from lenet_edge.runs.finding import find_run
from lenet_edge_exporters import int8, onnx
from lenet_edge_exporters.known_answers import OnnxLogits


def main() -> None:
    """Print a row for each run and rounding."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--choosing", action="store_true", help="the validation images in place of the test set")
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    heads = ["network", "rounding", "accuracy", "drop, pp (95 % interval)", "agreement (95 % interval)"]
    print("|", " | ".join([*heads, "mean logit difference"]), "|\n| --- | --- | ---: | ---: | ---: | ---: |")
    for path in options.runs:
        print(*rows(path, options.data_dir, choosing=options.choosing), sep="\n", flush=True)


def rows(path: Path, data_dir: Path | None, *, choosing: bool) -> list[str]:
    """The float32 network and both of its int8 files on its validation or test images."""
    opened = find_run(path, data_dir)
    job, data = export_job(opened), opened.data
    _, held_out = data.split(opened.record.seed)
    pixels = data.train_pixels[held_out] if choosing else data.test_pixels
    labels = data.train_labels[held_out] if choosing else data.test_labels
    model = onnx.build(job)
    prepared, images = int8.prepare(model), job.as_input(job.calibration_pixels)
    ranges = int8.calibrate(prepared, images, job.int8.calibration_method)
    exact = OnnxLogits(onnx.serialise(model, {})).logits(pixels)
    right = int((exact.argmax(1) == labels).sum())
    found = [f"| {path.name}, n = {len(labels):,} | float32 | {percent(right / len(labels))} | | | |"]
    for name, compensated in (("nearest", False), ("compensated", True)):
        file = int8.quantize_layers(prepared, ranges, images, job.int8.layers, compensated=compensated)
        logits = OnnxLogits(file.SerializeToString()).logits(pixels)
        verdict = compare("", "int8", logits, exact, labels, 0)
        low, high = wilson_interval(round(verdict.agreement * len(labels)), len(labels))
        drop = f"{verdict.accuracy_drop_pp:+.2f} ({verdict.drop_lower95_pp:+.2f} to {verdict.drop_upper95_pp:+.2f})"
        agreement = f"{percent(verdict.agreement)} ({100 * low:.2f} to {100 * high:.2f})"
        difference = np.abs(logits - exact).mean()
        found.append(f"| | {name} | {percent(verdict.accuracy)} | {drop} | {agreement} | {difference:.4f} |")
    return found


def percent(share: float) -> str:
    """A share as the documents have it."""
    return f"{100 * share:.2f} %"


if __name__ == "__main__":
    main()
