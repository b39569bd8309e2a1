"""From names of image files to lines of answers, a batch at a time, in this process or in several."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from lenet_edge.predicting.image_stream import AnyClassifier, classify_files
from lenet_edge.predicting.output_formats import FORMATS
from lenet_edge_runtime import Classifier, ImageError
from lenet_edge_runtime.fitting import FitPolicy, Invert
from lenet_edge_runtime.processes import in_order

NONE = "none"  # the label of what is none of the classes


@dataclass(frozen=True)
class Asked:
    """How images are answered: all that another process has to know. `abstain`: NONE where `known` is False."""

    model: Path
    verify: bool
    format: str
    invert: Invert = "auto"
    fit: FitPolicy = "auto"
    coverage: float | None = None
    abstain: bool = False


@dataclass(frozen=True)
class Answered:
    """Of a batch: how many files, how many of them could not be read, and what there is to say, in their order.

    `said` holds lines of answers (True), several together, and complaints of files (False).
    """

    images: int
    failed: int
    said: tuple[tuple[bool, str], ...]


def answer(names: Sequence[str], asked: Asked, classifier: AnyClassifier) -> Answered:
    """Answer one batch of files by their names."""
    line, said, lines, failed = FORMATS[asked.format].line, list[tuple[bool, str]](), list[str](), 0
    answers = classify_files(map(Path, names), classifier, len(names), asked.invert, asked.fit, asked.coverage)
    for path, found in answers:
        if isinstance(found, ImageError):
            failed += 1
            said += [(True, "".join(lines)), (False, str(found))]
            lines.clear()
        else:
            lines.append(line(path, replace(found, label=NONE) if asked.abstain and not found.known else found))
    said.append((True, "".join(lines)))
    return Answered(len(names), failed, tuple(item for item in said if item[1]))


def answer_all(
    batches: Iterable[list[str]], asked: Asked, classifier: AnyClassifier, jobs: int
) -> Generator[Answered, None, None]:
    """What is answered of each batch, in their order; with more than one of `jobs` in so many other processes.

    Few batches are in memory at a time. Raises what `in_order` raises.
    """
    if jobs == 1:
        for names in batches:
            yield answer(names, asked, classifier)
        return
    yield from in_order(partial(_answer, asked), batches, jobs)


@cache
def _opened(model: Path, verify: bool) -> Classifier:
    """In a process of its own: the classifier that it opens once."""
    return Classifier(model, verify=verify)


def _answer(asked: Asked, names: list[str]) -> Answered:
    return answer(names, asked, _opened(asked.model, asked.verify))
