"""Text that breaks writers: quotes, ends of comments, markup, formulas, line breaks, and what steers a terminal."""

from hypothesis import strategies as st

PIECES = (
    '"', "'", "\\", "\\n", "*/", "/*", "//", "??/", "??)", "%s", "@BODY@", "`", "```", "\n", "\r\n", "\t", "\x1b[31m",
    "\x1b]0;title\x07", "\x9b2J", "\u202e", "\u2066", "\u2028", "\x85", "\x7f", "=1+1", "+1", "-1", "@SUM(A1)", "<b>",
    "</script>", "]]>", "&amp;", "[a](javascript:alert(1))", "![](http://t.example/x.png)", "http://t.example", "|",
    "#", ":smile:", "[red]",
    ",", ";", " ", "  ", "é", "漢字", "🙂", "👩‍🔬", "New York", "a", "0", "x" * 40, "word " * 30,
)  # fmt: skip
# What a terminal or a page must never show as it is.
UNSEEN = "\x1b\x9b\x07\x7f\x85\r\n\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029"

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), min_size=1, max_size=6).map("".join)
label_lists = st.lists(texts.filter(lambda text: text and "\0" not in text), min_size=2, max_size=30, unique=True).map(
    tuple
)


def is_harmless(shown: str) -> bool:
    """Whether what is shown, over several lines of ours, steers no terminal and turns no text around."""
    return not set(shown.replace("\n", "")) & set(UNSEEN)
