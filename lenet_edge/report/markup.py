"""HTML and SVG built from elements, so that text of others (a folder's class names) is escaped wherever it stands."""

import html

from lenet_edge_runtime.printable import printable

VOID = frozenset({"img", "meta"})  # the elements used here that have no end tag


class Markup(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


Content = str | int | None


def tag(name: str, /, *children: Content, **attributes: str | float | None) -> Markup:
    """One element. Children that are no Markup are escaped, None is left out.

    `class_` becomes `class`, `stroke_width` becomes `stroke-width`; an attribute that is None is left out, numbers are
    written with two decimals at most.
    """
    opened = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{opened}>")
    return Markup(f"<{name}{opened}>{join(*children)}</{name}>")


def join(*children: Content) -> Markup:
    """Children one after another, escaped where they are plain text."""
    return Markup("".join(escape(child) for child in children if child is not None))


def escape(text: Content) -> Markup:
    """Plain text as HTML; characters without a shape (controls, U+202E and its kin) are shown as their escapes."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(printable(str(text))))


def _number(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
