"""Writes docs/web-page.png, the README's picture: the web page with a drawn digit, as Chromium shows it.

    lenet-edge train && lenet-edge export --int8 --web page
    python docs/make_picture.py page

Needs selenium (the `dev` extra), chromium and chromedriver (Debian: chromium, chromium-driver).
"""

import io
import math
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from lenet_edge.web.server import address_of, serving

PICTURE = Path(__file__).with_name("web-page.png")
WINDOW = (1100, 1030)
COLOURS = 64  # of the palette: a page of flat colours needs no more
SECONDS = 60

# A three: two arcs, as shares of the pad's side.
ARCS = [(0.34, -150, 80), (0.66, -80, 150)]
STROKE = [
    (0.47 + 0.19 * math.cos(math.radians(angle)), middle + 0.17 * math.sin(math.radians(angle)))
    for middle, first, last in ARCS
    for angle in range(first, last + 1, 10)
]


def browser() -> Any:
    """Chromium without a window."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--window-size={WINDOW[0]},{WINDOW[1]}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def draw_digit(driver: Any) -> None:
    """Draw with the mouse, and wait for the answer."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    ready = "return document.documentElement.dataset.ready === 'true'"
    WebDriverWait(driver, SECONDS).until(lambda page: page.execute_script(ready))
    pad = driver.find_element("id", "pad")
    side = pad.size["width"]
    chain = ActionChains(driver, duration=5)
    for index, (x, y) in enumerate(STROKE):
        chain.move_to_element_with_offset(pad, round((x - 0.5) * side), round((y - 0.5) * side))
        if index == 0:
            chain.click_and_hold()
    chain.release().perform()
    answered = "return document.getElementById('time').textContent !== ''"
    WebDriverWait(driver, SECONDS).until(lambda page: page.execute_script(answered))
    driver.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")


def main(folder: Path) -> None:
    """Serve the folder, draw, and write the picture."""
    with serving(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        driver = browser()
        try:
            driver.get(address_of(server))
            draw_digit(driver)
            shot = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
        finally:
            driver.quit()
            server.shutdown()
            thread.join()
    shot.quantize(COLOURS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
