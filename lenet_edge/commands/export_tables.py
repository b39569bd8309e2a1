"""What `lenet-edge export` prints of the files, and of the choices that were measured on the way to them."""

from collections.abc import Mapping
from typing import Any

from lenet_edge import console


def print_report(report: Any) -> None:
    """Print the files, and before and after them what belongs to their making."""
    if report.selection:
        print_selection(report.selection)
    if report.calibration_draws:
        print_draws(report.calibration_draws)
    print_artifacts(report.artifacts, report.reference)
    print_footprints(report.artifacts)
    say_what_stays_float(report.artifacts)
    console.say(f"the model card: {report.model_card}")
    for package in report.packages:
        console.say(f"the package for {package.name}: {package.path}/, whose README.md says how to go on")
    if report.sensitivity:
        print_sensitivity(report.sensitivity)


def print_artifacts(artifacts: list[Any], reference: str) -> None:
    """Print the exported files with what was seen when they were compared."""
    console.print_table(
        f"{artifacts[0].path.parent}/: each reloaded and compared with {reference}",
        ["file", "format", "size", "logits differ", "test accuracy", "drop, pp", "95 % interval", "gate"],
        [
            [
                item.path.name,
                item.format,
                console.kilobytes(item.bytes),
                f"{item.max_abs_logit_difference:.2g}",
                console.percent(item.card["accuracy"]),
                f"{item.card['accuracy_drop_pp']:+.2f}",
                "{:+.3f} to {:+.3f}".format(*item.card["drop_ci95_pp"]),
                "passed" if item.passed else "REJECTED",
            ]
            for item in artifacts
        ],
    )


def print_footprints(artifacts: list[Any]) -> None:
    """Print what one inference takes on a device, of the formats that can say."""
    known = [artifact for artifact in artifacts if artifact.footprint]
    if not known:
        return
    console.print_table(
        "what one inference takes: constants and code in flash, scratch and stack in RAM",
        ["file", "constants, bytes", "flash, bytes", "compiled by", "scratch, bytes", "stack, bytes", "multiplications",
         "Cortex-M4 instructions, about its cycles"],
        [[item.path.name, *_footprint_cells(item.footprint)] for item in known],
    )  # fmt: skip


def _footprint_cells(footprint: Mapping[str, Any]) -> list[str]:
    constants, flash, scratch, macs = (
        f"{footprint[key]:,}" for key in ("constant_bytes", "flash_bytes", "scratch_bytes", "macs")
    )
    if footprint["not_counted"]:
        stack, instructions = "not measured", f"not counted: {footprint['not_counted']}"
    else:
        stack, instructions = f"{footprint['stack_bytes']:,}", f"{footprint['cortex_m4_instructions']:,}"
    return [constants, flash, footprint["flash_build"], scratch, stack, macs, instructions]


def say_what_stays_float(artifacts: list[Any]) -> None:
    """Name the nodes of the int8 file that onnxruntime computes in float, where there are any."""
    from lenet_edge.commands.info import describe

    for item in artifacts:
        if item.format == "int8" and (nodes := describe(item.path)["metadata"]["float_nodes"]):
            names = ", ".join(f"{node['op_type']} {node['name']}" for node in nodes)
            console.say(f"{item.path.name} computes in float: {names}")


def print_selection(selection: Any) -> None:
    """Print the Pareto front of the choices of layers, fastest first, and say what was taken."""
    fastest_first = [*selection.front] + ([] if selection.chosen.on_front else [selection.chosen])
    console.print_table(
        f"int8 layers: the best of {len(selection.candidates) - 1} choices, {selection.images} validation images",
        ["layers in int8", "size", "of float32's", "latency, us", "95 % interval", "accuracy", "agreement", ""],
        [
            [
                item.name,
                console.kilobytes(item.bytes),
                f"{item.bytes / selection.float32.bytes:.2f}",
                f"{item.p50_us:.1f}",
                f"{item.p50_ci95_us[0]:.1f} to {item.p50_ci95_us[1]:.1f}",
                console.percent(item.accuracy),
                console.percent(item.agreement),
                "chosen" if item == selection.chosen else "",
            ]
            for item in fastest_first
        ],
    )
    ratio = selection.chosen.p50_us / selection.float32.p50_us
    console.say(f"int8 layers chosen: {selection.chosen.name}, {ratio:.2f} times float32's latency on this machine")
    if not selection.gate_held:
        console.say(f"no small enough choice keeps the accuracy within {selection.max_drop_pp:.2f} points: the nearest")


def print_sensitivity(rows: list[Any]) -> None:
    """Print what each layer does to the answers when it alone is quantized, the most harmful first."""
    from lenet_edge.artefacts.layer_selection import short_name

    console.print_table(
        "each layer quantized on its own, on validation images",
        ["layer", "accuracy", "drop, pp", "agreement", "logits' RMS error"],
        [
            [
                f"{short_name(row.layer)} ({row.layer.op_type})",
                console.percent(row.accuracy),
                f"{row.accuracy_drop_pp:+.2f}",
                console.percent(row.agreement),
                f"{row.logit_rms_error:.3g}",
            ]
            for row in rows
        ],
    )


def print_draws(draws: Any) -> None:
    """Print how much the draw of calibration images matters."""
    console.print_table(
        f"int8 over {draws.n} draws of calibration images: accuracy on validation images",
        ["draws", "mean", "standard deviation", "lowest", "highest"],
        [
            [
                str(draws.n),
                console.percent(draws.mean, 3),
                console.percent(draws.sd, 3),
                console.percent(min(draws.accuracies)),
                console.percent(max(draws.accuracies)),
            ]
        ],
    )
