"""Answers brought to where they belong, complaints to stderr, both counted."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from lenet_edge import console
from lenet_edge.predicting.answering import Answered, Asked, Way
from lenet_edge.predicting.progress import Tick
from lenet_edge.predicting.shards import Shards
from lenet_edge.predicting.writing import Write, document, writer
from lenet_edge_exporters.formats import read_content, sha256_of


class Delivery:
    """Has images answered in a way, `batch` at a time; `tick` hears of every batch."""

    def __init__(self, asked: Asked, way: Way, batch: int, tick: Tick) -> None:
        self.asked, self.way, self.batch, self.tick = asked, way, batch, tick
        self.images = self.failed = 0

    def into_one(self, paths: Iterable[Path], out: Path | None, as_json: bool) -> None:
        """All answers to standard output, or into one file."""
        names = map(str, paths)
        batches = iter(lambda: list(islice(names, self.batch)), [])
        with (
            document() if as_json else writer(out, self.asked.format, self.asked.split) as write,
            closing(self.way(batches)) as answers,
        ):
            for found in answers:
                self._take(found, write)

    def into_shards(self, paths: Iterable[Path], out: Path, size: int, *, resume: bool) -> Shards:
        """A file for every `size` images; with `resume` those that are there already are passed over."""
        said = repr((sha256_of(read_content(self.asked.model)), replace(self.asked, model=Path(), verify=True)))
        shards = Shards(out, size, sha256_of(said.encode()), resume=resume)
        under_way: list[list[str]] = []

        def batches() -> Iterator[list[str]]:
            for names in shards.left(paths):
                under_way.append(names)
                yield from (names[start : start + self.batch] for start in range(0, len(names), self.batch))

        with closing(self.way(batches())) as answers:
            for first in answers:
                names, failed, missing = under_way.pop(0), self.failed, 0
                with writer(shards.path(len(shards.done)), self.asked.format, self.asked.split) as write:
                    self._take(first, write)
                    missing = len(names) - first.images
                    while missing:
                        found = next(answers)
                        self._take(found, write)
                        missing -= found.images
                shards.finish(names, self.failed - failed)
        self.images = sum(shard.images for shard in shards.done)
        self.failed = sum(shard.failed for shard in shards.done)
        return shards

    def _take(self, found: Answered, write: Write) -> None:
        for is_answer, text in found.said:
            if is_answer:
                write(text)
            else:
                sys.stdout.flush()  # so that in one file of both a complaint stands where its answer would
                console.say(f"lenet-edge: error: {text}")
        self.images += found.images
        self.failed += len(found.unread)
        self.tick(self.images, self.failed)
