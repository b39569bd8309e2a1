"""From names of image files to lines of answers, a batch at a time, in this process or in several."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from lenet_edge.predicting.image_stream import AnyClassifier, classify_files, split_files
from lenet_edge.predicting.output_formats import FORMATS
from lenet_edge_runtime import Classifier, ImageError, Prediction
from lenet_edge_runtime.fitting import FitPolicy, Invert
from lenet_edge_runtime.processes import in_order

AnyPrediction = TypeVar("AnyPrediction", bound=Prediction)
NONE = "none"  # the label of what is none of the classes


@dataclass(frozen=True)
class Asked:
    """How images are answered: all that another process has to know.

    `abstain`: NONE where `known` is False. `split`: each digit of a picture is answered.
    """

    model: Path
    verify: bool
    format: str
    invert: Invert = "auto"
    fit: FitPolicy = "auto"
    coverage: float | None = None
    abstain: bool = False
    split: bool = False


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
    said, lines, unread = list[tuple[bool, str]](), list[str](), list[str]()
    for name, found in zip(names, lines_of(names, asked, classifier, folder), strict=True):
        if isinstance(found, ImageError):
            unread.append(name)
            said += [(True, "".join(lines)), (False, str(found))]
            lines.clear()
        else:
            lines.append(found)
    said.append((True, "".join(lines)))
    return Answered(len(names), tuple(unread), tuple(item for item in said if item[1]))


def lines_of(
    names: Sequence[str], asked: Asked, classifier: AnyClassifier, folder: Path = Path()
) -> Iterator[str | ImageError]:
    """What is written of each file, or why it cannot be read."""
    form, policies = FORMATS[asked.format], (asked.invert, asked.fit, asked.coverage)
    paths = map(folder.joinpath, names)
    if asked.split:
        for name, (_, digits) in zip(names, split_files(paths, classifier, len(names), *policies), strict=True):
            if isinstance(digits, ImageError):
                yield digits
            else:
                yield form.digits(Path(name), [_said(digit, asked) for digit in digits])
        return
    for name, (_, found) in zip(names, classify_files(paths, classifier, len(names), *policies), strict=True):
        yield found if isinstance(found, ImageError) else form.line(Path(name), _said(found, asked))


def _said(found: AnyPrediction, asked: Asked) -> AnyPrediction:
    return replace(found, label=NONE) if asked.abstain and not found.known else found


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
