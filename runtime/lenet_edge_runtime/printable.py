r"""Text of others (names of files, labels, what metadata says) made safe to show.

Control characters steer a terminal (ANSI and OSC sequences), line breaks forge lines, and bidirectional controls such
as U+202E show text in another order than it has. Each of them is written as its escape, `\x1b` or `\u202e`.
"""

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

# Unicode's categories of what has no shape of its own: controls, formats (the bidirectional ones among them), halves of
# surrogate pairs, private use, unassigned, and the two separators that break lines.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# What makes a spreadsheet take a cell for a formula (owasp.org/www-community/attacks/CSV_Injection).
FORMULA_MARKS = ("=", "+", "-", "@", "\t", "\r")
QUOTE = "'"
_MEANT = re.compile(r"[\\`*_\[\]<>&|~:@#$]|(?<=www)\.", re.IGNORECASE)  # by CommonMark or by GitHub's dialect of it


def printable(text: str) -> str:
    """The text on one line and without a character that has no shape: each is written as Python escapes it."""
    return _escaped(text, lambda letter: ascii(letter)[1:-1])


def to_json(value: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """JSON that reads the same and shows no such character either: each is written as JSON escapes it."""
    text = json.dumps(value, default=default, indent=indent, ensure_ascii=False)
    lines = (_escaped(line, lambda letter: json.dumps(letter)[1:-1]) for line in text.split("\n"))
    return "\n".join(lines)


def code_span(text: str) -> str:
    """Text as code within a line of Markdown (CommonMark 6.1): nothing in it means anything, whatever it holds."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if "`" in (text[:1], text[-1:]) or (text[:1] == text[-1:] == " ") else ""
    return f"{fence}{padding}{printable(text)}{padding}{fence}"


def markdown_text(text: str) -> str:
    """Text as plain words within a line of Markdown: no markup, no link (by itself neither), no HTML, no mention."""
    return _MEANT.sub(r"\\\g<0>", printable(text))


def csv_row(values: Iterable[object]) -> str:
    """One row of CSV (RFC 4180, but for a bare newline at its end) of which no text is a formula to a spreadsheet.

    Text that begins with one of FORMULA_MARKS, or with an apostrophe, gets an apostrophe before it: whoever reads it
    takes one off (`csv_text`). Numbers are written as they are.
    """
    buffer = io.StringIO()
    csv.writer(buffer).writerow(  # whose own line end has it quote a bare carriage return, too
        [QUOTE + value if isinstance(value, str) and value.startswith((*FORMULA_MARKS, QUOTE)) else value
         for value in values]
    )  # fmt: skip
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def csv_text(cell: str) -> str:
    """What `csv_row` was given for a cell of text."""
    return cell.removeprefix(QUOTE)


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(escape(letter) if unicodedata.category(letter) in _UNSEEN else letter for letter in text)
