"""The name of a network in C, with which every file, symbol and macro of its folder begins.

Two networks of different names go into one program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lenet_edge_runtime.shared_library import DEFAULT_NAME

FORMAT = "c"
LONGEST = 22  # with `_metadata` 31 characters, and a linker of C99 may tell names apart by no more (5.2.4.1)
_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")  # two _ in a row are for the compilers of C++
_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t class co_await
    co_return co_yield compl concept const const_cast consteval constexpr constinit continue decltype default delete do
    double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
    requires restrict return short signed sizeof static static_assert static_cast struct switch template this
    thread_local throw true try typedef typeid typename typeof typeof_unqual union unsigned using virtual void volatile
    wchar_t while xor xor_eq
"""  # of C23 and C++20
_HEADERS = """
    assert complex ctype endian errno features fenv inttypes iso646 limits locale math pthread setjmp signal stdalign
    stdarg stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string strings tgmath threads time
    uchar unistd wchar wctype
"""  # string.h in the folder would stand in place of the library's
_LIMITS = """
    dbl flt intmax intptr ldbl llong name path ptrdiff rand schar shrt sig_atomic size ssize uint uintmax uintptr ullong
    ulong ushrt wint
"""  # whose _MAX, _MIN or _WIDTH is a macro of the C library
_TARGETS = "all clean edit_cache help install package package_source preinstall rebuild_cache test"  # of CMake
_RESERVED = frozenset(" ".join((_KEYWORDS, _HEADERS, _LIMITS, _TARGETS)).split())
_SIZED = re.compile(r"u?int(_least|_fast)?(8|16|32|64)")  # as _LIMITS


def check(name: str) -> None:
    """Raise ValueError for a name that cannot begin C's names: its form, or it is taken there."""
    if not _FORM.fullmatch(name) or not 2 <= len(name) <= LONGEST:
        raise ValueError(
            f"a network's name in C is 2 to {LONGEST} lower-case letters, digits and single _ between them, a letter "
            f"first, as digits or net_2; got {name!r}"
        )
    if name in _RESERVED or _SIZED.fullmatch(name):
        raise ValueError(f"{name} is taken in C, C++, their libraries or CMake; choose another name, as {name}_net")


def chosen(name: str | None, formats: Iterable[str]) -> str:
    """The name, where one was asked for; raises ValueError for one that cannot be, or has no C folder to go into."""
    if name is None:
        return DEFAULT_NAME
    check(name)
    if FORMAT not in formats:
        raise ValueError(f"the name {name} is for a folder of C, and none is exported: add the format {FORMAT}")
    return name
