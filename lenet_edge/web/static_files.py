"""The page's own files, as they lie in the package."""

from importlib.resources import files

PAGE = (
    "index.html",
    "style.css",
    "icon.svg",
    "app.mjs",
    "pad.mjs",
    "strokes.mjs",
    "fitting.mjs",
    "image.mjs",
    "paper.mjs",
    "pillow.mjs",
    "answers.mjs",
    "view.mjs",
)


def static_file(name: str) -> bytes:
    """The content of one of them."""
    return (files("lenet_edge.web") / "static" / name).read_bytes()
