"""Two ends of a link without a network between them, brought into any phase by real messages."""

from itertools import pairwise

from docs.message_examples import EXAMPLES
from shared import messages as m
from shared.connection import TRANSITIONS, ClientConnection, MasterConnection, Phase, Side

Ends = tuple[ClientConnection, MasterConnection]
End = ClientConnection | MasterConnection


def ends_in(phase: Phase) -> Ends:
    """Both ends, after the shortest exchange that leads to `phase`."""
    client, master = ClientConnection(), MasterConnection()
    for side, message in _way_to(phase):
        sender, receiver = (client, master) if side is Side.CLIENT else (master, client)
        assert exchange(sender, receiver, EXAMPLES[message]) == [EXAMPLES[message]]
    assert client.phase is master.phase is phase
    return client, master


def ends_by_speaker(phase: Phase, side: Side) -> tuple[End, End]:
    """The same, as (the end of `side`, the other end)."""
    client, master = ends_in(phase)
    return (client, master) if side is Side.CLIENT else (master, client)


def exchange(sender: End, receiver: End, message: m.Message) -> list[m.Message]:
    """Sends one message whole; returns what arrives."""
    return list(receiver.receive(sender.send(message)))  # type: ignore[arg-type]


def receive_in_portions(receiver: End, stream: bytes, cuts: list[int]) -> list[m.Message]:
    """Feeds `stream`, cut at the offsets `cuts`; returns what arrives."""
    received: list[m.Message] = []
    for start, end in pairwise((0, *sorted(cuts), len(stream))):
        received += receiver.receive(stream[start:end])
    return received


def _way_to(phase: Phase) -> list[tuple[Side, type[m.Message]]]:
    ways: dict[Phase, list[tuple[Side, type[m.Message]]]] = {Phase.OPENING: []}
    reached = [Phase.OPENING]
    for here in reached:  # grows as it goes: breadth first
        for side in Side:
            for message, following in TRANSITIONS.get((here, side), {}).items():
                if following not in ways:
                    ways[following] = [*ways[here], (side, message)]
                    reached.append(following)
    return ways[phase]
