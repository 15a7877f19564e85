"""Calls that may hang, given up after a while."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises; TimeoutError when it has not ended after `seconds`, and is left behind then.

    Timeouts of calls do not bound everything: looking up a name can hang for a minute where there is no network, and
    a server can answer byte by byte.
    """
    got: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            got.append(call())
        except BaseException as error:  # raised below, in the thread that asked
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not got:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return got[0]
