"""Following a master's events for as long as one likes, also when the master is away meanwhile.

An event is known by its number and its time: a master that was killed may have lost the last half
second of its events, and one that was restored from a backup more; both give numbers anew.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from heartline.control import Control
from heartline.exits import Exit, UnreachableError, exit_of
from shared import messages as m
from shared.backoff import delays_s
from shared.errors import DeniedError

REMEMBERED: Final = 500
"""So many events a master tells at once: those that it has told already are recognised by them."""

LONGEST_WAIT_S: Final = 5.0
"""Between two attempts to reach a master that is away: there is one who waits, not a fleet."""

_Key: TypeAlias = tuple[int, int]


class Following:
    """The events of all nodes or of one, each once. `say` is told when the master comes and goes.

    `connect` makes a new link; `sleep` waits for so many seconds.
    """

    def __init__(
        self,
        connect: Callable[[], Control],
        say: Callable[[str], None],
        node: str = "",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect = connect
        self._say = say
        self._node = node
        self._sleep = sleep
        self._told: deque[_Key] = deque(maxlen=REMEMBERED)

    def events(self, limit: int) -> Iterator[tuple[m.Event, ...]]:
        """The newest `limit`, and then for ever those that happen, oldest first.

        Raises:
            UnreachableError: there was no master to begin with.
            DeniedError: it does not want this viewer, now or any more.
            UserError: see `Control.follow`.
        """
        control = self._connect()
        yield from self._told_by(control, lambda stored: stored[-limit:] if limit else ())
        while True:
            control = self._reconnected()
            self._say("the master is back")
            yield from self._told_by(control, self._fresh)

    def _told_by(
        self, control: Control, chosen: Callable[[tuple[m.Event, ...]], tuple[m.Event, ...]]
    ) -> Iterator[tuple[m.Event, ...]]:
        """What is `chosen` of the stored events, and then each new one, until the master goes."""
        try:
            with control:
                for number, some in enumerate(control.follow(self._request)):
                    yield some if number else chosen(some)
                    self._told.extend(map(_key, some))
        except UnreachableError as error:
            self._say(f"{error}; waiting for it")

    def _request(self, number: int) -> m.ListEvents:
        return m.ListEvents(number, REMEMBERED, self._node, follow=True)

    def _reconnected(self) -> Control:
        for delay_s in delays_s(random.Random(), cap_s=LONGEST_WAIT_S):  # noqa: S311 - no secret
            self._sleep(delay_s)
            try:
                return self._connect()
            except UnreachableError:
                continue
            except DeniedError as error:
                if exit_of(error) is Exit.REFUSED:
                    raise
        raise AssertionError("delays are endless")

    def _fresh(self, some: tuple[m.Event, ...]) -> tuple[m.Event, ...]:
        """What follows the last that was told before."""
        if not self._told:
            return some
        told = set(self._told)
        for place in range(len(some), 0, -1):
            if _key(some[place - 1]) in told:
                return some[place:]
        number, wall_ms = self._told[-1]
        fresh = tuple(event for event in some if event.number > number or event.wall_ms > wall_ms)
        if fresh and fresh[0].number != number + 1:
            self._say(
                "more happened meanwhile than the master tells at once; the oldest is left out"
            )
        return fresh


def _key(event: m.Event) -> _Key:
    return event.number, event.wall_ms
