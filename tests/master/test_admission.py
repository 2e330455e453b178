"""Who may begin a handshake: strangers are few, and no one takes what is kept for another."""

import pytest

from master.admission import (
    RESERVE_LEAST,
    RESERVE_PER_MEMBER,
    RESERVED_CONNECTIONS_FACTOR,
    RESERVED_RATE_FACTOR,
    Admission,
    AdmissionLimits,
    Ticket,
    address_group,
)

LIMITS = AdmissionLimits(connections=20, connections_per_address=5, handshakes_per_s=50.0)
HOME = "192.0.2.1"


def stranger(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def admitted(admission: Admission, address: str, times: int, now_s: float = 0.0) -> list[Ticket]:
    knocks = [admission.knock(address, now_s) for _ in range(times)]
    return [ticket for ticket in knocks if isinstance(ticket, Ticket)]


def with_members(*addresses: str, limits: AdmissionLimits = LIMITS) -> Admission:
    admission = Admission(limits, 0.0)
    for number, address in enumerate(addresses):
        admission.remember(f"node-{number}", address)
    return admission


def test_limits_are_shared_by_several_doors_but_for_those_of_one_address() -> None:
    assert LIMITS.shared_by(4) == AdmissionLimits(5, 5, 12.5)
    assert AdmissionLimits(1, 1, 0.1).shared_by(64) == AdmissionLimits(1, 1, 1.0)


def test_members_that_are_known_elsewhere_have_a_reserve_here() -> None:
    admission = Admission(LIMITS, 0.0)
    admission.set_members({HOME: 10})
    assert len(admitted(admission, HOME, 40)) == RESERVE_PER_MEMBER * 10 + 5
    admission.set_members({HOME: 0})
    assert admission.members() == {HOME: 0}  # for as long as they are open


def test_who_lives_where_is_told_when_it_changes() -> None:
    admission, told = Admission(LIMITS, 0.0), list[tuple[str, int]]()
    admission.on_members = lambda group, count: told.append((group, count))
    admission.remember("a", HOME)
    admission.remember("b", HOME)
    admission.remember("b", HOME)
    admission.remember("b", "198.51.100.1")
    admission.forget("a")
    assert told == [(HOME, 1), (HOME, 2), (HOME, 1), ("198.51.100.1", 1), (HOME, 0)]
    assert admission.members() == {"198.51.100.1": 1}


def test_one_address_holds_so_many_places_and_no_more() -> None:
    admission = Admission(LIMITS, 0.0)
    tickets = admitted(admission, HOME, 5)
    assert len(tickets) == 5
    assert admission.knock(HOME, 0.0) == "connections-per-address"
    admission.release(tickets.pop())
    assert isinstance(admission.knock(HOME, 0.0), Ticket)


def test_all_strangers_together_hold_so_many_places_and_no_more() -> None:
    admission = Admission(LIMITS, 0.0)
    tickets = [admission.knock(stranger(number), 0.0) for number in range(20)]
    assert all(isinstance(ticket, Ticket) for ticket in tickets)
    assert admission.knock(stranger(20), 0.0) == "connections"
    assert admission.waiting == 20


def test_handshakes_are_begun_at_a_rate() -> None:
    admission = Admission(AdmissionLimits(1000, 1000, 50.0), 0.0)
    assert len(admitted(admission, HOME, 200)) == 50
    assert admission.knock(HOME, 0.0) == "handshakes-per-s"
    assert len(admitted(admission, HOME, 200, now_s=0.5)) == 25
    assert len(admitted(admission, HOME, 200, now_s=100.0)) == 50


def test_rate_below_one_a_second_still_admits_one() -> None:
    admission = Admission(AdmissionLimits(1000, 1000, 0.5), 0.0)
    assert len(admitted(admission, HOME, 5)) == 1
    assert len(admitted(admission, HOME, 5, now_s=1.0)) == 0
    assert len(admitted(admission, HOME, 5, now_s=2.0)) == 1


def test_everything_released_leaves_nothing_behind() -> None:
    admission = with_members(HOME)
    tickets = [*admitted(admission, HOME, 8), *admitted(admission, stranger(1), 3)]
    for ticket in tickets:
        admission.release(ticket)
    admission.forget("node-0")
    assert admission.waiting == 0
    assert not admission._open
    assert not admission._reserves
    assert not admission._homes


def test_members_come_in_while_strangers_knock_the_door_down() -> None:
    admission = with_members(HOME)
    for number in range(1000):
        admission.knock(stranger(number), 0.0)
    assert admission.knock(stranger(1), 0.0) == "connections"
    assert isinstance(admission.knock(HOME, 0.0), Ticket)


def test_fleet_behind_one_address_comes_back_at_once() -> None:
    fleet = 1000
    limits = AdmissionLimits()
    admission = with_members(*[HOME] * fleet, limits=limits)
    now_s, back, open_now = 0.0, 0, list[Ticket]()
    while back < fleet:
        open_now += admitted(admission, HOME, fleet - back - len(open_now), now_s)
        for ticket in open_now:
            admission.release(ticket)
        back, open_now = back + len(open_now), []
        now_s += 0.1
    assert now_s < 1.5


def test_one_hostile_member_does_not_use_up_what_is_the_others() -> None:
    admission = with_members("198.51.100.1", HOME)
    hostile = admitted(admission, "198.51.100.1", 1000)
    assert len(hostile) <= RESERVE_LEAST + LIMITS.connections_per_address
    assert len(admitted(admission, HOME, RESERVE_LEAST)) == RESERVE_LEAST


def test_beyond_its_reserve_a_members_address_is_a_strangers_like_any_other() -> None:
    admission = with_members(HOME)
    tickets = admitted(admission, HOME, 100)
    assert len(tickets) == RESERVE_LEAST + LIMITS.connections_per_address
    assert admission.knock(HOME, 0.0) == "connections-per-address"


def test_reserve_grows_with_the_members_of_an_address() -> None:
    admission = with_members(*[HOME] * 10)
    reserved = [ticket for ticket in admitted(admission, HOME, 100) if ticket.is_reserved]
    assert len(reserved) == 10 * RESERVE_PER_MEMBER


def test_member_that_moves_takes_its_reserve_along() -> None:
    admission = with_members(HOME)
    admission.remember("node-0", "198.51.100.7")
    tickets = admitted(admission, "198.51.100.7", 1) + admitted(admission, HOME, 1)
    assert [ticket.is_reserved for ticket in tickets] == [True, False]


def test_authenticating_again_and_again_gains_nothing() -> None:
    admission = with_members(HOME)
    for _ in range(1000):
        admission.remember("node-0", HOME)
    reserved = [ticket for ticket in admitted(admission, HOME, 100) if ticket.is_reserved]
    assert len(reserved) == RESERVE_LEAST


def test_ticket_may_outlive_the_member_it_was_reserved_for() -> None:
    admission = with_members(HOME)
    ticket = admission.knock(HOME, 0.0)
    assert isinstance(ticket, Ticket)
    admission.forget("node-0")
    following = admission.knock(HOME, 0.0)
    assert isinstance(following, Ticket)
    assert not following.is_reserved
    admission.release(ticket)
    assert admission.waiting == 1


def test_reserves_together_are_bounded_too() -> None:
    many = LIMITS.connections * RESERVED_CONNECTIONS_FACTOR
    admission = with_members(*[stranger(n) for n in range(many)])
    reserved = [
        ticket
        for number in range(many)
        for ticket in admitted(admission, stranger(number), RESERVE_LEAST)
        if ticket.is_reserved
    ]
    assert len(reserved) == many


def test_handshakes_out_of_reserves_are_begun_at_a_rate_too() -> None:
    limits = AdmissionLimits(100_000, 100_000, 50.0)
    admission = with_members(*[HOME] * 100_000, limits=limits)
    reserved = [ticket for ticket in admitted(admission, HOME, 5000) if ticket.is_reserved]
    assert len(reserved) == 50 * RESERVED_RATE_FACTOR


def test_other_limits_hold_from_the_next_knock_on() -> None:
    admission = Admission(LIMITS, 0.0)
    admitted(admission, HOME, 5)
    admission.change(AdmissionLimits(20, 6, 50.0))
    assert len(admitted(admission, HOME, 5)) == 1
    admission.change(AdmissionLimits(3, 6, 50.0))
    assert admission.knock(stranger(1), 0.0) == "connections"


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("local", "local"),
        ("", ""),
    ],
)
def test_what_one_host_has_to_itself_counts_as_one_address(address: str, group: str) -> None:
    assert address_group(address) == group
