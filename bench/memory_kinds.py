"""Whose the memory of this process is: what the interpreter, the C library and SQLite say of
themselves. Their sum is not the process's, but what grows in one of them says where to look."""

import ctypes
import ctypes.util
import sys
from functools import cache


class _Mallinfo2(ctypes.Structure):
    """`struct mallinfo2` of glibc's malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )

    hblkhd: int
    uordblks: int
    fordblks: int


def memory_kinds() -> dict[str, int]:
    """`python_blocks` that are in use; in kB what the C library has given out and what it keeps
    free, both of its main arena, and what SQLite holds, caches included. What cannot be asked is
    left out."""
    kinds = {"python_blocks": sys.getallocatedblocks()}
    if (info := _mallinfo()) is not None:
        kinds["malloc_kb"] = (info.uordblks + info.hblkhd) // 1000
        kinds["malloc_free_kb"] = info.fordblks // 1000
    if (sqlite := _sqlite()) is not None:
        kinds["sqlite_kb"] = sqlite.sqlite3_memory_used() // 1000
    return kinds


def _mallinfo() -> _Mallinfo2 | None:
    ask = getattr(_c_library(), "mallinfo2", None)
    if ask is None:
        return None
    ask.restype = _Mallinfo2
    info: _Mallinfo2 = ask()
    return info


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


@cache
def _sqlite() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("sqlite3")
    if name is None:
        return None
    library = ctypes.CDLL(name)  # the one that is loaded already, if it is the interpreter's
    library.sqlite3_memory_used.restype = ctypes.c_int64
    return library
