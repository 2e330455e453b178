"""Recording what a source reports while the dashboard shows it: a source like any other.

Of the fleet all is heard anyway. Outages are told to whoever asks: so that a replay can show those
of every node, and not only of those that were opened, they are asked for here as well, all at first
and each node's when they may have changed, one question at a time. Those answers are for the
recording alone.
"""

import time
from collections.abc import Callable
from itertools import count

from shared import messages as m
from tui.link import Link, LinkState, Source, Viewer
from tui.outages import BEARING, OUTAGES_ASKED
from tui.recording import FLEET_OUTAGES_ASKED, FLEET_REQUEST, LinkWas, Recorder


class Recorded:
    """A source that records what another one reports."""

    def __init__(
        self, source: Source, recorder: Recorder, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._recorder = recorder
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Recorded {self._source!r}>"

    async def run(self, viewer: Viewer) -> None:
        """See `tui.link.Source`."""
        await self._source.run(_Tap(viewer, self._source, self._recorder, self._clock))

    def retry_now(self) -> None:
        """See `tui.link.Source`."""
        self._source.retry_now()

    def send(self, message: m.FromViewer) -> None:
        """See `tui.link.Source`."""
        self._source.send(message)


class _Tap:
    """A viewer that records, and hands on."""

    def __init__(
        self, viewer: Viewer, source: Source, recorder: Recorder, clock: Callable[[], float]
    ) -> None:
        self._viewer = viewer
        self._recorder = recorder
        self._clock = clock
        self._questions = _Questions(source)
        self._is_live = False

    def on_link(self, link: Link) -> None:
        now_s = self._clock()
        self._recorder.link(_link_was(link, self._recorder, now_s), now_s)
        self._viewer.on_link(link)
        was_live, self._is_live = self._is_live, link.state is LinkState.LIVE
        if self._is_live and not was_live:
            self._questions.begin()

    def on_message(self, message: m.FromMaster, received_s: float) -> None:
        self._recorder.heard(message, received_s)
        match message:
            case m.Outages(request=request) | m.Failed(request=request) if request >= FLEET_REQUEST:
                self._questions.answered(request)
                return
            case m.Events(events=events):
                changed = (each.node_id for each in events if each.event in BEARING)
                self._questions.ask_of(*changed)
            case _:
                pass
        self._viewer.on_message(message, received_s)


class _Questions:
    """What is still to be asked for, and in which order: at most once each node."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._numbers = count(FLEET_REQUEST + 1)
        self._open: int | None = None
        """The question that has not been answered."""
        self._nodes: dict[str, None] = {}

    def begin(self) -> None:
        """On a new link: about the whole fleet."""
        self._nodes.clear()
        self._open = FLEET_REQUEST
        self._source.send(m.ListOutages(FLEET_REQUEST, FLEET_OUTAGES_ASKED))

    def ask_of(self, *node_ids: str) -> None:
        """About these nodes, when it is their turn."""
        self._nodes.update(dict.fromkeys(filter(None, node_ids)))
        self._ask()

    def answered(self, request: int) -> None:
        """The question was answered, or refused."""
        if request == self._open:
            self._open = None
        self._ask()

    def _ask(self) -> None:
        if self._open is None and self._nodes:
            node_id = next(iter(self._nodes))
            del self._nodes[node_id]
            self._open = next(self._numbers)
            self._source.send(m.ListOutages(self._open, OUTAGES_ASKED, node_id))


def _link_was(link: Link, recorder: Recorder, now_s: float) -> LinkWas:
    retry_at_s = link.retry_at_s
    return LinkWas(
        at_ms=recorder.at_ms(now_s),
        state=link.state,
        since_ms=recorder.at_ms(link.since_s),
        address=link.address,
        reason=link.reason,
        retry_at_ms=None if retry_at_s is None else recorder.at_ms(retry_at_s),
        cluster=link.cluster,
        master_version=link.master_version,
        delay_us=None if link.delay_s is None else round(link.delay_s * 1_000_000),
    )
