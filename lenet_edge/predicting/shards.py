"""Answers in files of so many images each, so that what was answered before a kill is not answered again.

`answers.jsonl` becomes `answers-00000.jsonl` and so on, each whole or not there. `answers.shards.json` lists those that
are done, with a hash of the names of their images: a folder that changed in between is found out.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from lenet_edge.predicting.output_formats import path_text
from lenet_edge_exporters import atomic
from lenet_edge_runtime.errors import ResultsError
from lenet_edge_runtime.printable import to_json
from lenet_edge_runtime.reading import read_text
from lenet_edge_runtime.records import FileName, RecordError, Sized, Within, from_fields, parse

SHARDS = range(256, 10_000_001)  # images that a file may have
MAX_SHARDS = 100_000


@dataclass(frozen=True)
class Shard:
    """One finished file: its name, how many images it stands for, how many of them could not be read, its bytes."""

    name: Annotated[str, FileName()]
    images: Annotated[int, Within(1, SHARDS[-1])]
    failed: Annotated[int, Within(0, SHARDS[-1])]
    names_sha256: Annotated[str, Sized(64, 64)]
    bytes: Annotated[int, Within(0, 2**53)]


@dataclass(frozen=True)
class Progress:
    """What is done. `asked` is a hash of the model and of all that changes an answer."""

    schema: Literal["lenet-edge shards 1"]
    asked: Annotated[str, Sized(64, 64)]
    size: Annotated[int, Within(SHARDS[0], SHARDS[-1])]
    shards: Annotated[tuple[Shard, ...], Sized(0, MAX_SHARDS)] = ()


class Shards:
    """The files of one `--out`; raises ResultsError where `resume` does not fit what is there."""

    def __init__(self, out: Path, size: int, asked: str, *, resume: bool) -> None:
        self.out, self.size = out, size
        self.record_path = out.with_name(f"{out.stem}.shards.json")
        self._asked = asked
        self.done = list(self._read(resume))
        if not resume:
            for shard in self.done:
                (out.parent / shard.name).unlink(missing_ok=True)
            self.record_path.unlink(missing_ok=True)
            self.done = []

    def path(self, number: int) -> Path:
        """The file of shard `number`."""
        return self.out.with_name(f"{self.out.stem}-{number:05}{self.out.suffix}")

    def left(self, paths: Iterable[Path]) -> Iterator[list[str]]:
        """The images of each shard that is not done, by name; those that are done are compared by their names."""
        remaining = iter(paths)
        for number, shard in enumerate(self.done):
            names = [str(path) for path in islice(remaining, self.size)]
            if hash_of(names) == shard.names_sha256:
                continue
            if number + 1 == len(self.done) and shard.images < self.size:  # the end, and more images have come
                del self.done[number]
                yield names
                break
            raise ResultsError(
                f"the images are not those that {shard.name} answers: call it without --resume, to begin anew"
            )
        while names := [str(path) for path in islice(remaining, self.size)]:
            yield names

    def finish(self, names: Sequence[str], failed: int) -> None:
        """Note that the next shard is written."""
        path = self.path(len(self.done))
        self.done.append(Shard(path.name, len(names), failed, hash_of(names), path.stat().st_size))
        progress = Progress("lenet-edge shards 1", self._asked, self.size, tuple(self.done))
        atomic.write_text(self.record_path, to_json(asdict(progress), indent=1) + "\n")

    def _read(self, resume: bool) -> tuple[Shard, ...]:
        path = self.record_path
        if not path.exists():
            return ()
        try:
            found = from_fields(Progress, parse(read_text(path)))
        except (RecordError, OSError, UnicodeDecodeError) as error:
            raise ResultsError(f"{path} is damaged ({error}): remove it to begin anew") from None
        if resume and (found.asked != self._asked or found.size != self.size):
            raise ResultsError(
                f"{path} is of another model, other options, or --shard {found.size} and not {self.size}: call it as "
                f"then, or without --resume, to begin anew"
            )
        for number, shard in enumerate(found.shards):
            file = path.with_name(shard.name)
            if shard.name != self.path(number).name:
                raise ResultsError(f"{path} is damaged ({shard.name} is not its file): remove it to begin anew")
            if resume and (not file.is_file() or file.stat().st_size != shard.bytes):
                return found.shards[:number]
        return found.shards


def hash_of(names: Iterable[str]) -> str:
    """A SHA-256 of names in their order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(path_text(Path(name)).encode() + b"\0")
    return digest.hexdigest()
