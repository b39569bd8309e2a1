"""How the network does on spoilt images: one picture of each kind, and its accuracy."""

from lenet_edge.data.corruptions import corrupted
from lenet_edge.evaluation.robustness import drawn_images
from lenet_edge.report.blocks import SPACE, percent, table
from lenet_edge.report.findings import Findings
from lenet_edge.report.markup import Content, Markup, join, tag
from lenet_edge.report.pictures import picture


def corruptions(found: Findings) -> Markup:
    """The mean over the kinds, the first image that was drawn in each of them, and the accuracies as a table."""
    scores = found.evaluation.corruptions
    if scores is None:
        return tag("p", "Not measured: the corruptions are defined for grey images of 28 x 28.")
    pixels, labels = drawn_images(found.data, scores.images, scores.seed)
    label = found.data.labels[labels[0]]
    low, high = map(percent, scores.accuracy_ci95)
    rows: list[list[Content]] = [
        [row.kind, percent(row.accuracy), " to ".join(map(percent, row.accuracy_ci95))] for row in scores.kinds
    ]
    return join(
        tag(
            "p",
            f"{scores.images:,} test images, each spoilt in the {len(scores.kinds)} kinds of MNIST-C: "
            f"{percent(scores.accuracy)} recognised in the mean (95{SPACE}% interval {low} to {high}), "
            f"{percent(scores.clean_accuracy)} of the same images before. Below, one of them ({label}) in each kind, "
            f"and the share of its kind that was recognised.",
            class_="note",
        ),
        tag(
            "ul",
            *(
                tag(
                    "li",
                    picture(corrupted(pixels[:1], row.kind, scores.seed)[0], f"{label}, {row.kind}"),
                    tag("span", row.kind, class_="is"),
                    tag("span", tag("b", percent(row.accuracy, 1))),
                )
                for row in scores.kinds
            ),
            class_="sheet short",
            role="list",
        ),
        table("Accuracy by kind, with Wilson's interval.", ["kind", "accuracy", f"95{SPACE}% interval"], rows),
    )
