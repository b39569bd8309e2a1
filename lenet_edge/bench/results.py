"""Results of `lenet-edge bench` as a file, and those of two measurements set against each other."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lenet_edge.bench.measuring import BenchPlan, BenchRow
from lenet_edge_exporters import atomic
from lenet_edge_runtime import records
from lenet_edge_runtime.errors import ResultsError
from lenet_edge_runtime.host import HARDWARE, is_busy
from lenet_edge_runtime.latency import Ratio, unpaired_ratio
from lenet_edge_runtime.near_names import near_path
from lenet_edge_runtime.reading import read_text

SCHEMA = "lenet-edge bench 1"


@dataclass(frozen=True)
class BenchResults:
    """All that one measurement found: the machine before it began, how it was done, and a row for each case."""

    host: dict[str, Any]
    plan: BenchPlan
    rows: list[BenchRow]

    def to_json(self) -> dict[str, Any]:
        """The document that `--json` prints and `--out` writes."""
        rows = [asdict(row) for row in self.rows]
        return {"schema": SCHEMA, "host": self.host, "method": asdict(self.plan), "rows": rows}

    def write(self, path: Path) -> None:
        """Write the document, whole or not at all."""
        atomic.write_bytes(path, (json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> "BenchResults":
        """Read what `write` wrote; raise ResultsError for anything else."""
        try:
            document = records.from_fields(_Document, records.parse(read_text(path)), extra=True)
            return cls(asdict(document.host), document.method, document.rows)
        except FileNotFoundError:
            raise ResultsError(
                f"{path} does not exist: {near_path(path)}write one by 'lenet-edge bench --out {path}'"
            ) from None
        except OSError as error:
            raise ResultsError(f"{path} cannot be read ({error.strerror}): give a file that --out wrote") from None
        except ValueError as error:
            raise ResultsError(
                f"{path} is not the results of a measurement ({error}); write one by 'lenet-edge bench --out {path}'"
            ) from None


@dataclass(frozen=True)
class _Host:
    """The machine, as `describe_host` tells of it."""

    cpu: str
    instruction_sets: list[str]
    cores: int | None
    virtual: bool | None
    governor: str | None
    load_1min: float | None
    system: str
    versions: dict[str, str]
    cores_usable: int | None = None  # version 0.2 did not say


@dataclass(frozen=True)
class _Document:
    """What `BenchResults.write` writes."""

    schema: Literal["lenet-edge bench 1"]
    host: _Host
    method: BenchPlan
    rows: list[BenchRow]


@dataclass(frozen=True)
class Change:
    """One model in two measurements. `verdict`: `slower`, `faster`, `same`, `unknown` (too few rounds), or `drift`.

    Drift: files whose bytes and versions did not change differ as well, so it is the machine that did.
    """

    name: str
    batch: int
    threads: int
    api: str
    before_us: float
    now_us: float
    ratio: Ratio  # now as a share of before
    same_bytes: bool
    verdict: str


def compare_results(now: BenchResults, before: BenchResults) -> list[Change]:
    """Every case that both measurements have; raise ResultsError for two machines, or where none is in both.

    The intervals know the noise between sessions of each measurement. What they cannot know, that the machine as a
    whole runs at another speed now, shows in models that are the same in both; where such a one differs, no change
    of another is called.
    """
    _check_hardware(now.host, before.host)
    earlier = {_key(row): row for row in before.rows}
    pairs = [(row, earlier[_key(row)]) for row in now.rows if _key(row) in earlier]
    if not pairs:
        raise ResultsError(
            f"the results have no model in common: {_names(now.rows)} now, {_names(before.rows)} before, at the same "
            f"--batch, --threads and --api"
        )
    same_versions = now.host["versions"] == before.host["versions"]
    ratios = [unpaired_ratio(*pair) for pair in pairs]
    drift = any(
        same_versions and row.sha256 == old.sha256 and ratio.verdict in ("slower", "faster")
        for (row, old), ratio in zip(pairs, ratios, strict=True)
    )
    return [_change(*pair, ratio, drift) for pair, ratio in zip(pairs, ratios, strict=True)]


def remarks_on(now: BenchResults, before: BenchResults, changes: list[Change]) -> list[str]:
    """What a reader of the comparison has to know, in words."""
    remarks = []
    theirs = before.host["versions"]
    for package, version in now.host["versions"].items():
        if theirs.get(package, version) != version:
            remarks.append(f"{package} was {theirs[package]} then and is {version} now")
    if any(change.verdict == "drift" for change in changes):
        remarks.append(
            "the machine itself runs at another speed than then (files that did not change differ), so no "
            "difference is reported as a change; measure both on the same day, or both files in one command"
        )
    if is_busy(before.host):
        remarks.append(f"the machine was busy then (load {before.host['load_1min']} on {before.host['cores']} cores)")
    if any(change.verdict == "unknown" for change in changes):
        remarks.append("a change needs at least 8 rounds in both measurements: --rounds 10")
    return remarks


def _change(row: BenchRow, old: BenchRow, ratio: Ratio, drift: bool) -> Change:
    called = ratio.verdict in ("slower", "faster")
    return Change(
        name=row.name,
        batch=row.batch,
        threads=row.threads,
        api=row.api,
        before_us=old.p50_us,
        now_us=row.p50_us,
        ratio=ratio,
        same_bytes=row.sha256 == old.sha256,
        verdict="drift" if drift and called else ratio.verdict,
    )


def _check_hardware(now: dict[str, Any], before: dict[str, Any]) -> None:
    for field in HARDWARE:
        if now.get(field) != before.get(field):
            raise ResultsError(
                f"the results are of another machine ({field} was {before.get(field)}, is {now.get(field)}): latencies "
                f"of two machines do not compare; measure both files on one"
            )


def _key(row: BenchRow) -> tuple[str, int, int, str]:
    return row.name, row.batch, row.threads, row.api


def _names(rows: list[BenchRow]) -> str:
    return ", ".join(sorted({row.name for row in rows}))
