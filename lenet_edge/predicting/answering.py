"""From names of image files to lines of answers, a batch at a time, in this process or in several."""

from collections.abc import Callable, Generator, Iterable, Sequence
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
    """Of a batch: how many files, which of them could not be read, and what there is to say, in their order.

    `said` holds lines of answers (True), several together, and complaints (False), one for each of `unread`.
    """

    images: int
    unread: tuple[str, ...]
    said: tuple[tuple[bool, str], ...]


Way = Callable[[Iterable[list[str]]], Generator[Answered, None, None]]  # what is answered of each batch, in their order


def answer(names: Sequence[str], asked: Asked, classifier: AnyClassifier, folder: Path = Path()) -> Answered:
    """Answer one batch of files by their names, which begin in `folder` where they are relative."""
    line, said, lines, unread = FORMATS[asked.format].line, list[tuple[bool, str]](), list[str](), list[str]()
    paths = (folder / name for name in names)
    answers = classify_files(paths, classifier, len(names), asked.invert, asked.fit, asked.coverage)
    for name, (_, found) in zip(names, answers, strict=True):
        if isinstance(found, ImageError):
            unread.append(name)
            said += [(True, "".join(lines)), (False, str(found))]
            lines.clear()
        else:
            shown = replace(found, label=NONE) if asked.abstain and not found.known else found
            lines.append(line(Path(name), shown))
    said.append((True, "".join(lines)))
    return Answered(len(names), tuple(unread), tuple(item for item in said if item[1]))


def here(asked: Asked, classifier: AnyClassifier, jobs: int) -> Way:
    """What answers in this process, or with more than one of `jobs` in so many others.

    Few batches are in memory at a time. It raises what `in_order` raises.
    """
    if jobs > 1:
        return partial(in_order, partial(_answer, asked), jobs=jobs)
    return lambda batches: (answer(names, asked, classifier) for names in batches)


@cache
def _opened(model: Path, verify: bool) -> Classifier:
    """In a process of its own: the classifier that it opens once."""
    return Classifier(model, verify=verify)


def _answer(asked: Asked, names: list[str]) -> Answered:
    return answer(names, asked, _opened(asked.model, asked.verify))
