"""Questions that replace each other: one is on its way at most, and only the latest waits for it.

Whoever scrubs through a day changes his mind a hundred times a second; the master is asked as fast
as it answers. Pure: what is to be sent is returned, or handed to `send`.
"""

from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

ASKING_SHOWN_S: Final = 0.2
"""An answer that takes longer is said to be waited for."""

Question = TypeVar("Question")


class Asking(Generic[Question]):
    """Asks for one thing at a time. `send` puts a question under a number of its own."""

    def __init__(self, send: Callable[[int, Question], None], numbers: Iterator[int]) -> None:
        self._send = send
        self._numbers = numbers
        self._request: int | None = None
        self.asked: Question | None = None
        """The question that is on its way."""
        self._next: Question | None = None
        self._since_s = 0.0

    def __repr__(self) -> str:
        return f"<Asking {self.asked}, then {self._next}>"

    @property
    def is_open(self) -> bool:
        """Whether an answer is still to come."""
        return self._request is not None

    def want(self, question: Question, now_s: float) -> None:
        """Asks, now or after the answer that is awaited; what waited until then is dropped."""
        if self._request is None:
            self._since_s = now_s
            self._ask(question)
        else:
            self._next = None if question == self.asked else question

    def is_answer(self, request: int) -> bool:
        """Whether that is the number of the question which is open."""
        return self._request == request

    def answered(self, request: int, now_s: float) -> Question | None:
        """The question that was answered, in full or with an error, under this number; the next one
        is asked. None: nobody waits for that answer."""
        if request != self._request:
            return None
        question, following = self.asked, self._next
        self._request = self.asked = self._next = None
        if following is not None:
            self.want(following, now_s)
        return question

    def drop(self) -> None:
        """Nothing is wanted any more: an answer that still comes is nobody's."""
        self._request = self.asked = self._next = None

    def again(self, now_s: float) -> None:
        """Another link: what was asked on the last one will not be answered."""
        wanted = self._next if self._next is not None else self.asked
        self.drop()
        if wanted is not None:
            self.want(wanted, now_s)

    def waiting_s(self, now_s: float) -> float:
        """For how long an answer has been awaited; 0 while none is."""
        return max(0.0, now_s - self._since_s) if self.is_open else 0.0

    def _ask(self, question: Question) -> None:
        self._request, self.asked, self._next = next(self._numbers), question, None
        self._send(self._request, question)
