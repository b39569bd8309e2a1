"""`predict --scheduler`: a real scheduler and real workers on this machine; the oracle is what one process writes."""

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import CommandLine
from dask_cluster import DaskCluster, dask_cluster
from lenet_edge.cluster import connection
from lenet_edge.predicting import cluster as client_side
from lenet_edge.predicting.answering import Asked
from lenet_edge.predicting.cluster_task import Task
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.pretrained_files import pretrained_file

pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="distributed (extra `cluster`) is missing")
COUNT = 1_500
NO_TEXT = os.fsdecode(b"\xff.png")  # a name that is no UTF-8
PICTURES = ("--fit", "resize")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hard links to a few noisy pictures and to a file that is none."""
    place = tmp_path_factory.mktemp("many")
    random = np.random.default_rng(0)
    sources = [place / f"{number}.png" for number in range(3)]
    for source in sources:
        Image.fromarray(random.integers(0, 256, (28, 28), dtype=np.uint8)).save(source)
    (place / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (place / "images").mkdir()
    for number in range(COUNT):
        name = NO_TEXT if number == 7 else f"{number:05}.png"
        os.link(place / "broken.png" if number % 501 == 500 else sources[number % 3], place / "images" / name)
    return place / "images"


@pytest.fixture
def images(many: Path, cli: CommandLine) -> Path:
    """By a relative name: the workers are in another folder."""
    (cli.folder / "images").symlink_to(many)
    return Path("images")


@pytest.fixture
def model(cli: CommandLine) -> Path:
    return Path(shutil.copy(pretrained_file("mnist"), "net.int8.onnx"))


def on_submission(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Do something as that task is given out."""
    submit, given = client_side._Answers._submit, [0]

    def counting(self: client_side._Answers, batches: tuple[list[str], ...]) -> object:
        given[0] += 1
        if given[0] == number:
            act()
        return submit(self, batches)

    monkeypatch.setattr(client_side._Answers, "_submit", counting)


def relocate(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As if the workers had another folder at the paths of this one."""
    monkeypatch.setattr(client_side, "Task", lambda asked, _, *rest: Task(asked, folder, *rest))


def written(name: str) -> dict[str, bytes]:
    return {path.name.removeprefix(name): path.read_bytes() for path in sorted(Path().glob(f"{name}*"))}


@pytest.mark.parametrize("options", [(), ("--format", "csv", "--abstain"), ("--json",)])
def test_standard_output_is_that_of_one_process(
    options: tuple[str, ...], model: Path, images: Path, cli: CommandLine, cluster: DaskCluster
) -> None:
    one = cli("predict", model, images, *PICTURES, *options)
    more = cli("predict", model, images, *PICTURES, *options, "--scheduler", cluster.address)
    assert one.exit_code == more.exit_code == 1
    assert more.output == one.output  # of both streams, in their order
    assert more.stderr.splitlines()[-1] == f"{COUNT // 501} of {COUNT:,} files could not be read"


def test_shards_are_those_of_one_process_and_resumed(
    model: Path, images: Path, cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("predict", model, images, *PICTURES, "--shard", "700", "--out")
    cli(*command, "one.jsonl")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.address)
    assert cli(*command, "more.jsonl").exit_code == 1
    Path("more-00002.jsonl").unlink()
    resumed = cli(*command, "more.jsonl", "--resume")
    assert resumed.stderr.splitlines()[-1] == f"{COUNT // 501} of {COUNT:,} files could not be read"
    of_one = {name: content.replace(b"one-", b"more-") for name, content in written("one").items()}
    assert written("more") == of_one


def test_chunks_of_a_worker_that_dies_go_elsewhere(
    model: Path, images: Path, cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("predict", model, *[images] * 3, *PICTURES, "--out")
    cli(*command, "one.csv")
    on_submission(monkeypatch, 4, lambda: cluster.kill(cluster.workers[0]))
    assert cli(*command, "more.csv", "--scheduler", cluster.address).exit_code == 1
    cluster.start_worker()
    assert Path("more.csv").read_bytes() == Path("one.csv").read_bytes()


def test_few_tasks_are_under_way(model: Path, images: Path, cluster: DaskCluster) -> None:
    asked, taken = Asked(model, True, "csv", fit="resize"), [0]

    def batches() -> Iterator[list[str]]:
        while True:  # without end: who waits for the last one waits for ever
            taken[0] += 1
            yield ["images/00000.png"]

    with client_side.on_cluster(cluster.address, asked, Classifier(model)) as way:
        answers = way(batches())
        for _ in range(40):
            assert next(answers).images == 1
        answers.close()
    assert taken[0] <= 40 + client_side.BATCHES * (client_side.AHEAD * 2 + 1)


def test_images_that_a_worker_does_not_see_end_it(
    model: Path, images: Path, cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    relocate(monkeypatch, Path("/nowhere"))
    message = cli.fails("predict", model, images, "--out", "a.csv", "--scheduler", cluster.address)
    assert message.startswith("lenet-edge: error: worker tcp://127.0.0.1:")
    assert "cannot read images/00000.png, which this machine can (/nowhere/images/00000.png does not exist" in message
    assert message.endswith(
        f"let all workers see the images at the same path ({Path.cwd()}/images/00000.png), as on a shared file system, "
        f"or leave out --scheduler"
    )
    assert not Path("a.csv").exists()


def test_other_images_at_the_same_path_are_refused(
    model: Path, images: Path, cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("theirs/images").mkdir(parents=True)
    Image.new("L", (28, 28), 9).save("theirs/images/00000.png")
    relocate(monkeypatch, Path("theirs").resolve())
    message = cli.fails("predict", model, images, "--scheduler", cluster.address)
    assert f"has another image at {Path.cwd()}/theirs/images/00000.png than this machine" in message


def test_workers_of_other_versions_are_refused_with_both(
    model: Path, images: Path, cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = connection.installed_versions(client_side.PACKAGES)
    with monkeypatch.context() as patch:
        patch.setattr(connection, "installed_versions", lambda _: {**versions, "pillow": "1.0"})
        message = cli.fails("predict", model, images, "--scheduler", cluster.address)
    assert f"has pillow {versions['pillow']}, this machine has pillow 1.0; install the same versions on both" in message
    monkeypatch.setattr(client_side, "installed_versions", lambda _: {**versions, "numpy": "1.0"})  # one that came late
    message = cli.fails("predict", model, images, "--scheduler", cluster.address)
    assert f"has numpy {versions['numpy']}, this machine has numpy 1.0" in message


def test_a_file_that_a_worker_refuses_is_told_of(
    model: Path, images: Path, cli: CommandLine, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flipped bit on the way: the seal is compared where the file is opened."""
    content = bytearray(model.read_bytes())
    content[len(content) // 3] ^= 1
    monkeypatch.setattr(client_side, "read_model", lambda _: bytes(content))
    message = cli.fails("predict", model, images, "--scheduler", cluster.address)
    assert message.startswith("lenet-edge: error: worker tcp://127.0.0.1:")
    assert "net.int8.onnx" in message


def test_a_cluster_is_for_files_of_lenet_edge_and_in_place_of_jobs(model: Path, cli: CommandLine) -> None:
    address = ("--scheduler", "tcp://127.0.0.1:1")
    assert "--jobs is for this machine" in cli("predict", model, "x.png", "--jobs", "2", *address).stderr


def test_a_scheduler_that_dies_ends_it(
    model: Path, images: Path, cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dask

    with dask_cluster(tmp_path, workers=1) as mortal, dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        scheduler = mortal.scheduler
        assert scheduler is not None
        on_submission(monkeypatch, 4, lambda: mortal.kill(scheduler))
        message = cli("predict", model, *[images] * 6, "--out", "a.csv", "--scheduler", mortal.address).stderr
    assert f"the Dask scheduler at {mortal.address} is gone; start it and its workers again" in message
    assert not Path("a.csv").exists()
