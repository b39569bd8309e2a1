"""A finished study as Markdown: means over seeds, and every difference with its interval and p values.

lenet-edge compare study-baseline study-dropout study-weight-decay study-batch-norm --dataset mnist --seeds 5
python benchmarks/study.py studies/mnist
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

METRICS = {"train_accuracy": "training images", "test_accuracy": "test images"}


def main() -> None:
    """Print two tables for each study."""
    parser = argparse.ArgumentParser(description="Studies by lenet-edge compare, as Markdown tables.")
    parser.add_argument("studies", nargs="+", type=Path, metavar="STUDY")
    for folder in parser.parse_args().studies:
        document = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        print(f"{document['dataset']}, seeds {', '.join(map(str, document['seeds']))}:\n")
        print("\n".join(means(document)), end="\n\n")
        print("\n".join(differences(document)), end="\n\n")
    print(f"Command: `python {shlex.join(sys.argv)}`")


def means(document: dict[str, Any]) -> list[str]:
    """A row a recipe: mean and standard deviation over seeds."""
    return [
        f"| recipe | {' | '.join(METRICS.values())} |",
        "| --- | ---: | ---: |",
        *(
            f"| `{row['recipe']}` | {' | '.join(_spread(row[metric]) for metric in METRICS)} |"
            for row in document["recipes"]
        ),
    ]


def differences(document: dict[str, Any]) -> list[str]:
    """A row a pair and metric: the mean difference in percentage points, paired by seed."""
    lines = [
        "| difference | of | pp (95 % interval) | p | p (Holm) |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for row in document["comparisons"]:
        interval = f"{row['difference_pp']:+.2f} ({row['lower95_pp']:+.2f} to {row['upper95_pp']:+.2f})"
        lines.append(
            f"| `{row['a']}` - `{row['b']}` | {METRICS[row['metric']]} | {interval} | {row['p']:.1e} "
            f"| {row['p_holm']:.1e}{' *' if row['significant'] else ''} |"
        )
    return [*lines, "", "\\* significant at 5 %, corrected for all pairs of a metric (Holm 1979)."]


def _spread(sample: dict[str, float]) -> str:
    return f"{100 * sample['mean']:.2f} ± {100 * sample['sd']:.2f} %"


if __name__ == "__main__":
    main()
