"""The page from end to end in headless Chromium, driven by Selenium: drawn on, given images, and compared with Python.

By every engine. Skipped where chromium and chromedriver (Debian: chromium, chromium-driver) are missing, or what makes
the engine: npm, or a compiler of WebAssembly.
"""

import base64
import hashlib
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_variants import photo
from lenet_edge.data.datasets import load_dataset
from lenet_edge.data.image_data import ImageData
from lenet_edge.runs.run import Run
from lenet_edge.web.engines import ENGINES
from lenet_edge.web.page import write_page
from lenet_edge.web.server import address_of, serving
from lenet_edge.web.static_files import PAGE
from lenet_edge_runtime import Classifier
from lenet_edge_runtime.errors import WebError
from lenet_edge_runtime.fitting import fit_image
from lenet_edge_runtime.images import read_image
from trained_runs import exported

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 60  # to wait for what takes one: this machine may be busy
RUN_IN_PAGE = """
const done = arguments[arguments.length - 1];
(async () => {
    const { engine: { module, source } } = await (await fetch("model.json")).json();
    const { load } = await import(document.baseURI + module);
    const engine = await load(document.baseURI + source);
    const pixels = Uint8Array.from(atob(arguments[0]), (character) => character.charCodeAt(0));
    const logits = await engine.predict(pixels);
    done([logits.constructor.name, Array.from(new Uint8Array(logits.slice().buffer))]);
})().catch((error) => done([String(error), []]));
"""


class Page:
    """The page in the browser, as a person uses it; `model` is the int8 ONNX file, for Python's answers."""

    def __init__(self, driver: Any, address: str, model: Path) -> None:
        self.driver, self.address, self.model = driver, address, model

    def open(self) -> None:
        self.driver.get(self.address)
        self.wait("return document.documentElement.dataset.ready === 'true'")

    def wait(self, script: str) -> None:
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, SECONDS, 0.05).until(lambda driver: driver.execute_script(script))

    def find(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def answer(self) -> tuple[str, float]:
        """Label and probability, once the time was taken, which comes last; the nearest label where it is none."""
        self.wait("return document.getElementById('time').textContent !== ''")
        label, share = (self.find("answer").find_element("class name", name).text for name in ("label", "share"))
        if label == "none of these":
            nearest = share.removeprefix("nearest: ")
            return nearest, self.bars()[nearest]
        return label, float(share.removesuffix(" %")) / 100

    def bars(self) -> dict[str, float]:
        """The probability of each label, in their order."""
        rows = [row.text.split() for row in self.driver.find_elements("css selector", "#bars li")]
        return {row[0]: float(row[1].removesuffix("%")) / 100 for row in rows}

    def seen(self) -> np.ndarray:
        """The 28 x 28 grey levels that the page says the net saw."""
        script = """
            const context = new OffscreenCanvas(28, 28).getContext("2d");
            context.drawImage(document.getElementById("seen"), 0, 0);
            return Array.from(context.getImageData(0, 0, 28, 28).data);
        """
        return np.array(self.driver.execute_script(script), np.uint8).reshape(28, 28, 4)[..., 0]

    def draw(self, *strokes: list[tuple[float, float]]) -> None:
        """Draw with the mouse; points are shares of the pad's side."""
        from selenium.webdriver.common.action_chains import ActionChains

        pad = self.find("pad")
        side = pad.size["width"]
        for stroke in strokes:
            chain = ActionChains(self.driver, duration=10)
            for index, (x, y) in enumerate(stroke):
                chain.move_to_element_with_offset(pad, round((x - 0.5) * side), round((y - 0.5) * side))
                if index == 0:
                    chain.click_and_hold()
            chain.release().perform()

    def press(self, *keys: str) -> None:
        self.find("pad").send_keys(*keys)

    def logged(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromedriver = shutil.which("chromedriver")
    if CHROMIUM is None or chromedriver is None:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.add_argument("--window-size=1100,1000")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    found.set_script_timeout(SECONDS)
    yield found
    found.quit()


@pytest.fixture(scope="module")
def folder(engine: str, shown: Path, driver: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the digits' network, with all that runs it."""
    if ENGINES[engine].has_cdn and shutil.which("npm") is None:
        pytest.skip("npm is not installed: the page would load its engine from a CDN")
    try:
        return write_page(shown, tmp_path_factory.mktemp("web") / "page", engine).folder
    except WebError as error:
        if not ENGINES[engine].has_cdn:
            raise
        pytest.skip(f"npm gave no engine: {error}")


@pytest.fixture(scope="module")
def served(folder: Path, driver: Any, digits_run: Run) -> Iterator[Page]:
    with serving(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield Page(driver, address_of(server), exported(digits_run, "int8"))
        server.shutdown()
        thread.join()


@pytest.fixture
def page(served: Page) -> Iterator[Page]:
    """The page, opened; it may not have complained when the test is done."""
    served.open()
    yield served
    assert served.logged() == []


ONE = [(0.5, 0.15), (0.5, 0.5), (0.5, 0.85)]
SEVEN = [(0.25, 0.2), (0.5, 0.19), (0.75, 0.2), (0.6, 0.5), (0.45, 0.85)]


@pytest.mark.parametrize(("strokes", "label"), [([ONE], "1"), ([SEVEN], "7")])
def test_drawn_digit_is_read(strokes: list[list[tuple[float, float]]], label: str, page: Page) -> None:
    page.draw(*strokes)
    found, probability = page.answer()
    assert found == label
    expected = Classifier(page.model).predict(page.seen(), invert=False, fit="resize")
    assert (expected.label, round(expected.probability, 3)) == (found, pytest.approx(probability, abs=0.0005))
    assert list(page.bars()) == list("0123456789")
    np.testing.assert_allclose(list(page.bars().values()), expected.probabilities, atol=0.00051)
    assert page.driver.find_element("css selector", "#bars .best .label").text == label


def test_drawing_by_keyboard(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.press(Keys.ARROW_UP * 3, Keys.SPACE)
    assert page.find("remark").text == "Pen down"
    page.press(Keys.ARROW_DOWN * 17, Keys.SPACE)
    assert page.find("remark").text == "Pen up"
    assert page.answer()[0] == "1"
    page.press(Keys.DELETE)
    assert page.find("answer").text.split() == ["–", "nothing", "yet"]


def test_undo_and_clear(page: Page) -> None:
    page.draw(ONE)
    page.answer()
    one = page.seen()
    page.draw([(0.1, 0.1), (0.9, 0.1)])
    page.answer()
    page.find("undo").click()
    page.answer()
    np.testing.assert_array_equal(page.seen(), one)
    page.find("clear").click()
    assert page.seen().max() == 0


def test_page_says_what_it_loads_and_runs(page: Page, folder: Path) -> None:
    names, texts = ([part.text for part in page.find("facts").find_elements("tag name", tag)] for tag in ("dt", "dd"))
    facts = dict(zip(names, texts, strict=True))
    content = (folder / facts["File"]).read_bytes()
    assert facts["Size"] == f"{len(content):,} bytes"
    assert facts["SHA-256"] == hashlib.sha256(content).hexdigest()
    assert facts["Loaded bytes"] == "their SHA-256 is the expected one"
    assert facts["Accuracy"].endswith("of 599 test images of digits")
    sizes: dict[str, int] = page.driver.execute_script(
        "return Object.fromEntries(performance.getEntriesByType('resource').map("
        "(entry) => [new URL(entry.name).pathname, entry.decodedBodySize]))"
    )
    ran = {name: size for name, size in sizes.items() if name[1:] not in (*PAGE, "model.json", "known-answers.json")}
    assert f"/{facts['File']}" in ran
    assert any(name.endswith(".wasm") for name in ran)
    loaded = float(re.search(r"; ([\d.]+) [kM]B loaded in all$", facts["Runs on"])[1])
    assert loaded == pytest.approx(sum(ran.values()) / (1e3 if " kB" in facts["Runs on"] else 1e6), abs=0.06)


def test_known_answers_are_given_in_this_browser(page: Page) -> None:
    page.find("replay").click()
    page.wait("return document.getElementById('verdict').textContent !== ''")
    assert page.find("verdict").text == "Pass: 16 of 16 known answers given, bit for bit."


def test_wrong_known_answer_is_found(page: Page, folder: Path) -> None:
    path = folder / "known-answers.json"
    whole = path.read_text()
    logits = bytearray(base64.b64decode(whole.split('"logits": "')[1].split('"')[0]))
    changed = bytes([logits[0] ^ 1, *logits[1:]])
    path.write_text(whole.replace(base64.b64encode(logits).decode(), base64.b64encode(changed).decode()))
    try:
        page.open()
        page.find("replay").click()
        page.wait("return document.getElementById('verdict').textContent !== ''")
        assert page.find("verdict").text.startswith("Fail: 15 of 16 known answers given; the greatest difference")
    finally:
        path.write_text(whole)


def test_changed_model_is_not_run(page: Page, folder: Path) -> None:
    path = folder / json.loads((folder / "model.json").read_bytes())["file"]
    whole = path.read_bytes()
    path.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])
    try:
        page.driver.get(page.address)
        page.wait("return !document.getElementById('problem').hidden")
        assert "is not the file that this page was made for" in page.find("problem").text
    finally:
        path.write_bytes(whole)


def test_carried_example(page: Page) -> None:
    page.driver.find_elements("css selector", "#examples button")[3].click()
    found, probability = page.answer()
    expected = Classifier(page.model).predict(page.seen(), invert=False, fit="resize")
    assert (found, probability) == (expected.label, pytest.approx(expected.probability, abs=0.0005))


@pytest.mark.parametrize(
    "kind", ["as it is", "large", "dark on light", "colour", "turned by EXIF", "transparent", "photo"]
)
def test_image_is_fitted_as_python_does(kind: str, page: Page, digits: ImageData, tmp_path: Path) -> None:
    grey = Image.fromarray(digits.test_pixels[3, 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    images = {
        "as it is": grey,
        "large": grey.resize((301, 420), Image.Resampling.BICUBIC),
        "dark on light": Image.fromarray(255 - digits.test_pixels[3, 0]).resize((200, 200)),
        "colour": Image.merge("RGB", [grey, grey.rotate(5), grey.rotate(-5)]).resize((90, 60)),
        "turned by EXIF": grey.rotate(90).resize((50, 40)),
        "transparent": Image.fromarray(np.dstack([np.zeros((28, 28, 3), np.uint8), digits.test_pixels[3, 0]])),
        "photo": Image.fromarray(photo(digits.test_pixels[3, 0], 3)),
    }
    path = tmp_path / "digit.png"
    images[kind].save(path, **({"exif": exif} if kind == "turned by EXIF" else {}))
    page.find("file").send_keys(str(path))
    label, _ = page.answer()
    classifier = Classifier(page.model)
    expected = fit_image(read_image(path, 1), classifier.spec)
    np.testing.assert_array_equal(page.seen(), expected.pixels[0])
    assert label == classifier.predict(path).label
    assert ("inverted" in page.find("remark").text) == expected.inverted
    assert expected.inverted == (kind in ("dark on light", "transparent", "photo"))


GIVE = """
const bytes = Uint8Array.from(atob(arguments[1]), (character) => character.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], "digit.png", { type: "image/png" }));
const fields = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
const made = arguments[0] === "drop" ? new DragEvent("drop", fields) : new ClipboardEvent("paste", fields);
document.getElementById("pad").dispatchEvent(made);
"""


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_image_that_is_dropped_or_pasted(way: str, page: Page, digits: ImageData) -> None:
    content = io.BytesIO()
    Image.fromarray(digits.test_pixels[5, 0]).save(content, "PNG")
    page.driver.execute_script(GIVE, way, base64.b64encode(content.getvalue()).decode())
    page.answer()
    expected = fit_image(read_image(content.getvalue(), 1), Classifier(page.model).spec)
    np.testing.assert_array_equal(page.seen(), expected.pixels[0])


def test_file_that_is_no_image(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    path.write_bytes(b"no image")
    page.find("file").send_keys(str(path))
    page.wait("return !document.getElementById('problem').hidden")
    assert page.find("problem").text.startswith("digit.png is not an image that can be used")


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(width: int, page: Page) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        page.open()
        assert page.driver.execute_script("return innerWidth") == width
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
        small = page.driver.execute_script(
            "return [...document.querySelectorAll('button, label.button')].filter("
            "(element) => element.offsetParent && element.offsetHeight < 24).length"
        )
        assert small == 0  # WCAG 2.2, target size
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


FOCUS_IS_SHOWN = """
    const outline = (element) => getComputedStyle(element).outlineStyle;
    return [document.activeElement, document.activeElement.parentElement].some((e) => outline(e) === "solid");
"""


def test_everything_to_press_has_a_name_and_a_visible_focus(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    names = []
    for _ in range(40):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        element = page.driver.switch_to.active_element
        if element.tag_name == "body":
            break
        names.append(element.accessible_name)
        assert page.driver.execute_script(FOCUS_IS_SHOWN), names[-1]
    assert names[0] == "Skip to the answer"
    assert {"Drawing pad", "Clear", "Undo", "Choose image", "Example 16", "Replay the known answers"} <= set(names)
    assert all(names)


def test_a_thousand_images_get_pythons_logits(page: Page, digits: ImageData) -> None:
    pixels = np.concatenate([digits.test_pixels, digits.train_pixels])[:1000]
    assert_same_logits(page, pixels)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_thousand_official_images_get_pythons_logits(name: str, page: Page, real_data: Path) -> None:
    assert_same_logits(page, load_dataset(name, real_data).test_pixels[:1000])


def assert_same_logits(page: Page, pixels: np.ndarray) -> None:
    """The engine in the page and onnxruntime in Python give the very same bits."""
    kind, content = page.driver.execute_async_script(RUN_IN_PAGE, base64.b64encode(pixels.tobytes()).decode())
    assert kind == "Float32Array"
    assert len(pixels) == 1000
    assert bytes(content) == Classifier(page.model).logits(pixels).tobytes()
