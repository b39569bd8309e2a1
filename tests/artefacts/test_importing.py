"""Weights of other people's nets: what comes out answers like its owner's net, or the import stops and says why.

The oracle is the owner's net in PyTorch, built here as its owner would: nn.Sequential and normalisation of one's own.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from command_line import CommandLine
from lenet_edge.artefacts import importing
from lenet_edge.artefacts.import_candidates import Said
from lenet_edge.artefacts.importing import Imported, check_is_clear, import_weights, least_accuracy
from lenet_edge.artefacts.variant_search import Scored, judge
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.networks.imported import as_imported
from lenet_edge.networks.recipes import RECIPES
from lenet_edge.networks.variants import Normalisation, Variant
from lenet_edge.runs.opened import open_run
from lenet_edge_exporters.pixels import torch_model
from lenet_edge_runtime.errors import GateError, UnclearWeightsError, WeightsError

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
SAME = 0.98  # share of equal classes
POOLINGS: dict[str, Callable[[int], nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


@dataclass(frozen=True)
class Owner:
    """How somebody else's LeNet is made and fed."""

    activation: str = "relu"
    pooling: str = "max"
    inside: bool = True  # zeros of the normalised image; else black pixels before normalisation
    mean: float = 0.5
    std: float = 0.5
    c5_convolution: bool = False
    norm: bool = False
    maps: tuple[int, int] = (6, 16)
    kernels: tuple[int, int] = (5, 5)
    dense: tuple[int, int] = (120, 84)
    side: int = 28
    pool_first: bool = False

    def net(self) -> nn.Sequential:
        activation, pool = ACTIVATIONS[self.activation], POOLINGS[self.pooling]
        (m1, m2), (k1, k2), (d1, d2) = self.maps, self.kernels, self.dense
        norms = (nn.BatchNorm2d(m1), nn.BatchNorm2d(m2)) if self.norm else (nn.Identity(), nn.Identity())
        end = (self.side // 2 - k2 + 1) // 2
        c5 = (
            [nn.Conv2d(m2, d1, end), nn.Flatten()]
            if self.c5_convolution
            else [nn.Flatten(), nn.Linear(m2 * end**2, d1)]
        )
        behind = [[pool(2), activation()] if self.pool_first else [activation(), pool(2)] for _ in range(2)]
        return nn.Sequential(
            nn.Conv2d(1, m1, k1, padding=k1 // 2 if self.inside else 0), norms[0], *behind[0],
            nn.Conv2d(m1, m2, k2), norms[1], *behind[1],
            *c5, activation(), nn.Linear(d1, d2), activation(), nn.Linear(d2, 10),
        )  # fmt: skip

    @property
    def said(self) -> Said:
        """Everything that its owner can say of it."""
        pooling = "max" if self.pooling == "max" else f"average-{'first' if self.pool_first else 'last'}"
        padding = "inside" if self.inside else "before"
        return Said(self.activation, pooling, padding, (self.mean,), (self.std,))

    def feed(self, pixels: np.ndarray) -> Tensor:
        images = torch.tensor(pixels).float()
        if not self.inside:
            images = nn.functional.pad(images, (self.kernels[0] // 2,) * 4)
        return (images / 255 - self.mean) / self.std


@cache
def _trained_once(owner: Owner) -> nn.Sequential:
    return trained(owner, load_dataset("digits"))


def trained(owner: Owner, data: ImageData, seed: int = 0, steps: int = 120, batch: int = 64) -> nn.Sequential:
    torch.manual_seed(seed)
    net, labels = owner.net(), torch.tensor(data.train_labels)
    images = owner.feed(data.train_pixels)
    rate = (0.64 if owner.activation == "sigmoid" else 0.128) / batch
    optimizer = torch.optim.Adam(net.parameters(), rate, fused=True)
    for _ in range(steps):
        drawn = torch.randint(0, len(labels), (batch,))
        loss = nn.functional.cross_entropy(net(images[drawn]), labels[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def answers_of(imported: Imported, pixels: np.ndarray) -> np.ndarray:
    opened = open_run(imported.run)
    return torch_model(opened.net, opened.record.spec).logits(pixels)


def agreement(imported: Imported, owner: Owner, net: nn.Module, data: ImageData) -> float:
    with torch.inference_mode():
        theirs = net(owner.feed(data.test_pixels)).numpy()
    return float((answers_of(imported, data.test_pixels).argmax(1) == theirs.argmax(1)).mean())


def check_answers(imported: Imported, owner: Owner, net: nn.Module, data: ImageData) -> None:
    assert agreement(imported, owner, net, data) > SAME, (owner, imported.variant)


OWNERS = (  # the first with nothing said, the others with their normalisation, which leaves less to try
    Owner(),
    Owner("tanh", "average", c5_convolution=True, mean=0, std=1),
    Owner("relu", "max", inside=False, mean=0, std=1 / 255, norm=True),
    Owner("relu", "average", mean=0, std=1, pool_first=True),
)


@pytest.mark.parametrize("owner", OWNERS, ids=str)
def test_what_comes_out_answers_like_its_owners_net(owner: Owner, digits: ImageData, tmp_path: Path) -> None:
    net = _trained_once(owner)
    path = tmp_path / "theirs.pth"
    torch.save({"net": net.state_dict(), "epoch": 3}, path)
    said = None if owner == OWNERS[0] else Said(mean=(owner.mean,), std=(owner.std,))
    try:
        imported = import_weights(path, digits, said=said, out=tmp_path / "run")
    except (GateError, UnclearWeightsError):
        imported = import_weights(path, digits, said=owner.said, out=tmp_path / "run")
    check_answers(imported, owner, net, digits)


def drawn_owner(generator: np.random.Generator, data: ImageData) -> Owner:
    draw = generator.choice
    mean, std = draw([(0.5, 0.5), (0.0, 1.0), (0.1307, 0.3081), (0.0, 1 / 255), data.mean + data.std])
    maps, kernels = draw([(3, 6), (4, 8), (6, 12)]), draw([(5, 3), (3, 3), (5, 5)])
    dense = draw([(24, 16), (32, 24), (48, 20)])
    owner = Owner(
        str(draw(list(ACTIVATIONS))), str(draw(list(POOLINGS))), bool(draw([True, False])), float(mean), float(std),
        bool(draw([True, False])), bool(draw([True, False])), tuple(maps.tolist()), tuple(kernels.tolist()),
        tuple(dense.tolist()), data.train_pixels.shape[2],
    )  # fmt: skip
    return replace(owner, pool_first=owner.pooling == "average" and bool(draw([True, False])))


@pytest.fixture(scope="module")
def small(digits: ImageData) -> ImageData:
    """The digits without most of their margin, 20 x 20: small nets learn them in a second."""
    return replace(
        digits, train_pixels=digits.train_pixels[..., 4:24, 4:24], test_pixels=digits.test_pixels[..., 4:24, 4:24]
    )


@pytest.mark.slow
@pytest.mark.parametrize("part", range(50))
def test_500_nets_answer_like_their_owners_or_are_refused(part: int, small: ImageData, tmp_path: Path) -> None:
    """Taken, it answers like its owner's, at once or once its owner has said what is asked; stopped, it is no good."""
    generator = np.random.default_rng(part)
    outcomes: Counter[str] = Counter()
    for number in range(10):
        owner = drawn_owner(generator, small)
        steps = int(generator.choice([120, 240]))
        net = trained(owner, small, seed=10 * part + number, steps=steps, batch=32)
        path = tmp_path / f"theirs-{number}.pth"
        torch.save(net.state_dict(), path)
        outcomes[outcome_of(path, owner, net, small, tmp_path / f"run-{number}")] += 1
    assert set(outcomes) <= {"right", "asked, right", "no good", "asked, no good"}, outcomes
    print(f"\n{part}: {dict(outcomes)}")  # noqa: T201


PLAIN_OWNERS = (  # of each of which the file leaves every option open
    Owner(side=20),
    Owner(side=20, inside=False, mean=0, std=1),
    Owner(side=20, inside=False, mean=0.1307, std=0.3081, norm=True),
    Owner("tanh", "average", side=20, inside=False, mean=0, std=1),
)


@pytest.mark.parametrize("owner", PLAIN_OWNERS, ids=str)
def test_true_values_are_among_those_asked_for_and_lead_to_its_owners_net(
    owner: Owner, small: ImageData, tmp_path: Path
) -> None:
    net = trained(owner, small, steps=240, batch=32)
    torch.save(net.state_dict(), tmp_path / "theirs.pth")
    outcome = outcome_of(tmp_path / "theirs.pth", owner, net, small, tmp_path / "run")
    assert outcome in ("right", "asked, right"), outcome


def outcome_of(path: Path, owner: Owner, net: nn.Module, data: ImageData, out: Path) -> str:
    """What becomes of a file whose owner says nothing at first, and then what is asked for and no more."""
    said, asked = Said(), ""
    while True:
        try:
            imported = import_weights(path, data, said=said, out=out)
        except UnclearWeightsError as error:
            if (more := answered(str(error), owner, said)) is None:
                return f"the truth is not among the choices: {error} ({owner})"
            said, asked = more, "asked, "
        except GateError:
            with torch.inference_mode():
                theirs = net(owner.feed(data.train_pixels)).argmax(1).numpy()
            is_good = (theirs == data.train_labels).mean() >= least_accuracy(data)
            return asked + ("stopped" if is_good else "no good")
        else:
            is_right = agreement(imported, owner, net, data) > SAME
            return asked + ("right" if is_right else f"wrong: {owner} as {imported.variant}")


def answered(question: str, owner: Owner, said: Said) -> Said | None:
    """What was said, and its owner's values of what is asked for; None where one is not among the choices."""
    for part in question.split("say which is theirs: ")[1].split("; "):
        values = part.split(" or ")
        option = values[0].split()[0].removeprefix("--")
        if option == "mean":
            true = f"--mean {owner.mean:g} --std {owner.std:.6g}"
            said = replace(said, mean=owner.said.mean, std=owner.said.std)
        else:
            true = f"--{option} {getattr(owner.said, option)}"
            said = replace(said, **{option: getattr(owner.said, option)})
        if true not in values:
            return None
    return said


@pytest.fixture(scope="module")
def student(digits: ImageData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commonest student's LeNet: ReLU, max pooling, padding in its convolution, no BatchNorm."""
    path = tmp_path_factory.mktemp("student") / "lenet.pth"
    torch.save(_trained_once(Owner()).state_dict(), path)
    return path


def test_a_recipe_of_another_activation_does_not_decide(student: Path, digits: ImageData, tmp_path: Path) -> None:
    imported = import_weights(
        student, digits, RECIPES["lenet5-classic"], Said(padding="inside", mean=(0.5,), std=(0.5,)), tmp_path / "run"
    )
    assert (imported.variant.config.activation, imported.variant.config.pooling) == ("relu", "max")
    assert imported.finding is not None
    assert imported.finding.best.accuracy >= least_accuracy(digits)


def test_what_is_said_wrongly_is_stopped_and_the_right_options_are_named(
    student: Path, digits: ImageData, tmp_path: Path
) -> None:
    said = Said("sigmoid", "average-last", "inside", (0.5,), (0.5,))
    with pytest.raises(GateError, match=r"--activation relu, --pooling max.*correct the options"):
        import_weights(student, digits, said=said, out=tmp_path / "run")
    taken = import_weights(student, digits, said=Said(**{**vars(said), "accept_accuracy": True}), out=tmp_path / "run")
    assert taken.variant.config.activation == "sigmoid"


def test_without_a_check_it_is_said_that_nothing_was_checked(
    student: Path, digits: ImageData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported = import_weights(student, digits, RECIPES["lenet5-classic"], Said(check=False), tmp_path / "run")
    assert imported.finding is None
    assert "nothing was checked" in capsys.readouterr().err
    with pytest.raises(WeightsError, match="give --activation and --pooling, or --model"):
        import_weights(student, digits, said=Said(check=False), out=tmp_path / "other")


def test_untrained_weights_are_taken_as_said_with_a_warning(
    digits: ImageData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    net = Owner("tanh", "average").net().eval()
    torch.save(net.state_dict(), tmp_path / "random.pth")
    said = Said(mean=(0.5,), std=(0.5,))
    imported = import_weights(tmp_path / "random.pth", digits, RECIPES["lenet5-classic"], said, tmp_path / "run")
    assert "look untrained" in capsys.readouterr().err
    with torch.inference_mode():
        theirs = net(Owner("tanh", "average").feed(digits.test_pixels[:50])).numpy()
    np.testing.assert_allclose(answers_of(imported, digits.test_pixels[:50]), theirs, atol=1e-5)


def test_classes_and_layers_that_do_not_fit_are_named(digits: ImageData, tmp_path: Path) -> None:
    seven = [nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5), nn.Linear(400, 7)]
    torch.save(nn.Sequential(*seven).state_dict(), tmp_path / "seven.pth")
    with pytest.raises(WeightsError, match="it gives 7 classes where digits has 10"):
        import_weights(tmp_path / "seven.pth", digits)
    torch.save({"attention.weight": torch.zeros(3, 8, 8), "b.weight": torch.zeros(10, 4)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="only convolutions, pooling and dense layers"):
        import_weights(tmp_path / "other.pth", digits)


@pytest.mark.parametrize(("lost", "taken"), [(3, "before"), (60, "inside")])
def test_a_named_recipe_decides_unless_its_net_is_clearly_worse(lost: int, taken: str) -> None:
    own = as_imported(RECIPES["lenet5-classic"].model)
    first = replace(own.convolutions[0], padding=2)
    other = replace(own, size=28, convolutions=(first, *own.convolutions[1:]))
    norm, labels = Normalisation((0.5,), (0.5,)), np.arange(1000) % 10
    best = Scored(Variant(other, 0, norm), labels, np.ones(1000, np.bool_), np.full(1000, 0.1), lambda: labels)
    answers = np.where(np.arange(1000) < lost, 9 - labels, labels)
    mine = Scored(
        Variant(own, 2, norm), answers, answers == labels, np.where(answers == labels, 0.1, 3.0), lambda: labels
    )
    assert len(judge([best, mine]).rivals) == (lost == 3)
    found = judge([best, mine], favoured=lambda variant: variant.config == own)
    assert (found.best.variant.padding_kind, found.rivals) == (taken, ())
    assert [item.variant.padding_kind for item in found.set_aside] == (["inside"] if lost == 3 else [])


def test_one_of_the_nets_that_it_may_be_pads_nowhere(tmp_path: Path) -> None:
    own = as_imported(RECIPES["lenet5-classic"].model)
    inside = replace(own, size=28, convolutions=(replace(own.convolutions[0], padding=2), *own.convolutions[1:]))
    scaled = replace(own, size=28, resized=32, activation="relu")
    labels = np.arange(1000) % 10

    def scored(variant: Variant, first: int) -> Scored:
        """All but ten of the images right, other ones each."""
        answers = np.where((np.arange(1000) >= first) & (np.arange(1000) < first + 10), 9 - labels, labels)
        return Scored(variant, answers, answers == labels, np.full(1000, 0.1), lambda: answers)

    norm = Normalisation((0.5,), (0.5,))
    nets = [Variant(inside, 0, norm), Variant(own, 2, norm), Variant(scaled, 0, norm)]
    finding = judge([scored(net, 10 * number) for number, net in enumerate(nets)])
    assert {item.variant for item in (finding.best, *finding.rivals)} == set(nets)
    with pytest.raises(UnclearWeightsError, match="3 nets fit") as caught:
        check_is_clear(tmp_path, finding)
    assert "--padding inside or --padding before or --padding none" in str(caught.value)
    assert "--activation tanh or --activation relu" in str(caught.value)
    for padding, net in zip(("inside", "before", "none"), nets, strict=True):
        assert [Said(padding=padding).allows(other) for other in nets] == [other is net for other in nets]
    less_usual = replace(finding.rivals[0], right=np.ones(1000, np.bool_))
    assert replace(finding, rivals=(less_usual,)).reached == 1.0  # what decides whether such a net is any good


def test_values_of_nets_that_answer_alike_are_among_the_choices_the_best_first(tmp_path: Path) -> None:
    own = as_imported(RECIPES["lenet5"].model)
    inside = replace(own, size=28, convolutions=(replace(own.convolutions[0], padding=2), *own.convolutions[1:]))
    scaled, norm = replace(own, size=28, resized=32), Normalisation((0.5,), (0.5,))
    labels = np.arange(1000) % 10

    def scored(config: object, padding: int, first: int, wrong: int) -> Scored:
        answers = np.where((np.arange(1000) >= first) & (np.arange(1000) < first + wrong), 9 - labels, labels)
        variant = Variant(config, padding, norm)  # type: ignore[arg-type]
        return Scored(variant, answers, answers == labels, np.full(1000, 0.1), lambda: answers)

    before, other, far = scored(own, 2, 0, 3), scored(inside, 0, 0, 4), scored(scaled, 0, 10, 4)
    finding = judge([far, other, before])
    assert (finding.best, finding.rivals, finding.alike) == (other, (far,), (before,))
    with pytest.raises(UnclearWeightsError, match=r"--padding before or --padding inside or --padding none$"):
        check_is_clear(tmp_path, finding)
    check_is_clear(tmp_path, judge([other, before]))  # it does not matter which: nothing is asked


def test_one_below_the_limit_is_not_taken_for_a_rival_that_no_option_names(
    student: Path, digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norm, own = Normalisation((0.5,), (0.5,)), as_imported(RECIPES["lenet5"].model)
    labels = np.arange(1000) % 10

    def scored(first: int, wrong: int, *, norm_last: bool) -> Scored:
        answers = np.where((np.arange(1000) >= first) & (np.arange(1000) < first + wrong), 9 - labels, labels)
        variant = Variant(replace(own, norm_last=norm_last), 2, norm)
        return Scored(variant, answers, answers == labels, np.full(1000, 0.1), lambda: answers)

    finding = judge([scored(0, 70, norm_last=False), scored(40, 50, norm_last=True)])
    assert finding.best.accuracy < least_accuracy(digits) < finding.reached
    monkeypatch.setattr(importing, "search", lambda *_: finding)
    with pytest.raises(GateError, match="--accept-accuracy"):
        import_weights(student, digits, out=tmp_path / "run")


def test_from_the_command_line(student: Path, cli: CommandLine) -> None:
    result = cli(
        "export",
        student,
        "--dataset",
        "digits",
        "--format",
        "onnx",
        "--mean",
        "0.5",
        "--std",
        "0.5",
        "--padding",
        "inside",
    )
    assert result.exit_code in (0, 3), result.output  # 3: 599 images are few for the gate of accuracy
    assert "the weights are taken as --activation relu, --pooling max" in result.stderr
