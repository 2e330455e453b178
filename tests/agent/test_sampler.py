"""The sampler on a virtual clock: schedule, failures, staleness, inventory."""

import math
from collections.abc import Iterable

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from agent.sampler import LEAD_S, next_on_grid
from shared.families import Users, UserSession, decode_family
from shared.families_settings import FamilySettings, RoutesSettings
from shared.messages import Trouble
from shared.metrics import Core
from tests.agent.sampling_rig import ALL, HOST, FakeCollector, Rig, only, running


def rounded(times_s: Iterable[float]) -> list[float]:
    return [round(time_s, 3) for time_s in times_s]


def core(rig: Rig) -> Core:
    return rig.sampler.core(trio.current_time())


def troubles(rig: Rig) -> tuple[Trouble, ...]:
    return rig.sampler.troubles(trio.current_time())


async def test_family_is_read_at_once_again_after_a_second_and_then_on_the_grid(
    autojump_clock: MockClock,
) -> None:
    cpu = FakeCollector("cpu", {"cpu_busy_bp": 7})
    async with running(Rig(only(cpu=FamilySettings()), cpu)):
        await trio.sleep(16)
    assert cpu.times_s == [0, 1, 5, 10, 15]


async def test_families_that_are_switched_off_are_not_read(autojump_clock: MockClock) -> None:
    cpu, memory = FakeCollector("cpu", {}), FakeCollector("memory", {})
    async with running(Rig(only(memory=FamilySettings()), cpu, memory)):
        await trio.sleep(16)
    assert cpu.times_s == []
    assert memory.times_s


async def test_counters_have_a_thread_and_other_families_share_one(
    autojump_clock: MockClock,
) -> None:
    collectors = [FakeCollector(family, {}) for family in ("cpu", "users", "memory", "routes")]
    async with running(Rig(ALL, *collectors)) as rig:
        await trio.sleep(0.5)
    assert sorted(rig.batches) == [("cpu", "memory"), ("users", "routes")]


async def test_hanging_family_delays_no_counter_and_those_behind_it_once(
    autojump_clock: MockClock,
) -> None:
    cpu, users, routes = (FakeCollector(family, {}) for family in ("cpu", "users", "routes"))
    rig = Rig(ALL, cpu, users, routes)
    rig.takes_s = {"users": math.inf}
    async with running(rig):
        await trio.sleep(12)
        assert cpu.times_s == [0, 1, 5, 10]
        assert users.times_s == []
        assert routes.times_s == [2, 3], "after the deadline of users, and then on its own time"


async def test_core_is_made_of_the_latest_readings(autojump_clock: MockClock) -> None:
    cpu = FakeCollector("cpu", {"cpu_busy_bp": 7})
    users = FakeCollector("users", {"users": 3})
    async with running(Rig(ALL, cpu, users)) as rig:
        assert core(rig) == Core()
        await trio.sleep(0.5)
        assert core(rig) == Core(cpu_busy_bp=7, users=3)
        cpu.core = {"cpu_busy_bp": 9}
        await trio.sleep(1)
        assert core(rig) == Core(cpu_busy_bp=9, users=3)


async def test_ready_when_the_counters_have_been_tried(autojump_clock: MockClock) -> None:
    cpu, users = FakeCollector("cpu", {}), FakeCollector("users", {})
    rig = Rig(ALL, cpu, users)
    rig.takes_s = {"cpu": 0.3, "users": 1.0}
    async with running(rig):
        await rig.sampler.ready.wait()
        assert round(trio.current_time(), 3) == 0.3


async def test_collector_that_fails_is_reported_by_name_and_age_and_others_go_on(
    autojump_clock: MockClock,
) -> None:
    cpu, memory = FakeCollector("cpu", {}), FakeCollector("memory", {"memory_used_bp": 4})
    async with running(Rig(ALL, cpu, memory)) as rig:
        await trio.sleep(7)
        assert troubles(rig) == ()
        cpu.fail = FileNotFoundError("/proc/stat")
        await trio.sleep(5)
        (trouble,) = troubles(rig)
        assert trouble == Trouble("cpu", "failed", 7, "FileNotFoundError: /proc/stat")
        assert memory.times_s[-1] == 10
        cpu.fail = PermissionError(13, "Permission denied", "/proc/stat")
        await trio.sleep(5)
        assert troubles(rig)[0].text == "/proc/stat: Permission denied"
        cpu.fail = None
        await trio.sleep(5)
        assert troubles(rig) == ()


async def test_values_of_a_family_that_keeps_failing_become_unknown(
    autojump_clock: MockClock,
) -> None:
    cpu, memory = FakeCollector("cpu", {"cpu_busy_bp": 7}), FakeCollector("memory", {})
    async with running(Rig(ALL, cpu, memory)) as rig:
        await trio.sleep(6)
        cpu.fail = OSError("no more")
        await trio.sleep(15)
        assert core(rig).cpu_busy_bp == 7
        await trio.sleep(5)
        assert core(rig).cpu_busy_bp is None


async def test_collector_that_hangs_is_reported_and_never_called_a_second_time(
    autojump_clock: MockClock,
) -> None:
    cpu = FakeCollector("cpu", {"cpu_busy_bp": 7})
    disks = FakeCollector("disks", {"disk_reads_per_s": 1})
    network = FakeCollector("network", {"network_interfaces_up": 1})
    rig = Rig(ALL, cpu, disks, network)
    rig.takes_s = {"disks": math.inf}
    async with running(rig):
        await trio.sleep(60.5)
        assert disks.times_s == []
        assert sum("disks" in batch for batch in rig.batches) == 1
        assert troubles(rig) == (Trouble("disks", "stuck", 60, "a reading has not returned"),)
        assert core(rig) == Core(cpu_busy_bp=7, network_interfaces_up=1)
        assert (cpu.times_s[-1], network.times_s[-1]) == (60, 60)


async def test_collector_that_returns_late_is_read_again_and_its_late_result_is_dropped(
    autojump_clock: MockClock,
) -> None:
    users = FakeCollector("users", {"users": 1})
    rig = Rig(only(users=FamilySettings(period_s=5, deadline_s=2)), users)
    rig.takes_s = {"users": 4.0}
    async with running(rig):
        await trio.sleep(4.5)
        assert users.times_s == [4]
        assert core(rig).users is None
        rig.takes_s = {}
        await trio.sleep(1)
        assert core(rig).users == 1
        assert troubles(rig) == ()


async def test_each_collector_of_a_shared_thread_has_its_own_deadline(
    autojump_clock: MockClock,
) -> None:
    cpu, disks = FakeCollector("cpu", {"cpu_busy_bp": 1}), FakeCollector("disks", {})
    rig = Rig(ALL, cpu, disks)
    rig.takes_s = {"cpu": 1.9, "disks": 1.9}
    async with running(rig):
        await trio.sleep(3.9)
        assert troubles(rig) == ()
        assert (cpu.times_s, disks.times_s) == ([1.9], [3.8])


async def test_what_hangs_within_a_family_is_a_trouble_while_the_rest_is_known(
    autojump_clock: MockClock,
) -> None:
    filesystems = FakeCollector("filesystems", {"filesystem_used_max_bp": 5})
    filesystems.stuck = "no answer from /mnt/backup"
    async with running(Rig(ALL, filesystems)) as rig:
        await trio.sleep(30.5)
        expected = Trouble("filesystems", "stuck", 30, "no answer from /mnt/backup")
        assert troubles(rig) == (expected,)
        assert core(rig).filesystem_used_max_bp == 5


def _is_the_bug(group: BaseExceptionGroup[BaseException]) -> bool:
    return group.split(TypeError)[1] is None


async def test_bug_of_a_collector_is_not_survived(autojump_clock: MockClock) -> None:
    cpu = FakeCollector("cpu", {})
    cpu.fail = TypeError("a bug")
    with pytest.raises(ExceptionGroup, check=_is_the_bug):
        async with running(Rig(ALL, cpu)):
            await trio.sleep(5)


async def test_family_in_full_is_sent_twice_at_first_and_then_on_its_own_period(
    autojump_clock: MockClock,
) -> None:
    users = FakeCollector("users", {})
    users.data = Users((UserSession("ada", "pts/0", "", 0),))
    rig = Rig(only(users=FamilySettings(period_s=5, detail_s=20)), users)
    async with running(rig):
        await trio.sleep(46)
    assert [sample.mono_ms for sample in rig.sink.samples] == [0, 1000, 20_000, 40_000]
    last = rig.sink.samples[-1]
    assert (last.family, last.wall_ms, last.period_ms) == ("users", 1_040_000, 20_000)
    assert decode_family(last.family, last.data) == users.data


async def test_period_longer_than_the_details_takes_their_place(autojump_clock: MockClock) -> None:
    routes = FakeCollector("routes", {})
    rig = Rig(only(routes=RoutesSettings(period_s=300, detail_s=60)), routes)
    async with running(rig):
        await trio.sleep(901)
    assert [sample.mono_ms for sample in rig.sink.samples] == [0, 1000, 300_000, 600_000, 900_000]
    assert rig.sink.samples[0].period_ms == 300_000


async def test_inventory_waits_for_every_family_and_comes_again_on_change_only(
    autojump_clock: MockClock,
) -> None:
    memory, users = FakeCollector("memory", {}), FakeCollector("users", {})
    memory.facts = {"memory_total_kib": 1024}
    rig = Rig(ALL, memory, users)
    rig.takes_s = {"users": 1.5}
    async with running(rig):
        await trio.sleep(1.4)
        assert rig.sink.inventories == []
        await trio.sleep(20)
        expected = msgspec.structs.replace(HOST, memory_total_kib=1024)
        assert rig.sink.inventories == [expected]
        memory.facts = {"memory_total_kib": 2048}
        await trio.sleep(20)
        assert [each.memory_total_kib for each in rig.sink.inventories] == [1024, 2048]
        assert rig.sampler.inventory() == rig.sink.inventories[-1]


async def test_hanging_family_does_not_keep_the_inventory_back(autojump_clock: MockClock) -> None:
    memory, sensors = FakeCollector("memory", {}), FakeCollector("sensors", {})
    rig = Rig(ALL, memory, sensors)
    rig.takes_s = {"sensors": math.inf}
    async with running(rig):
        await trio.sleep(6)
        assert rig.sink.inventories == [HOST]


async def test_host_without_any_family_has_an_inventory(autojump_clock: MockClock) -> None:
    async with running(Rig(only())) as rig:
        await rig.sampler.ready.wait()
        assert rig.sink.inventories == [HOST]


async def test_readings_move_ahead_of_the_beats(autojump_clock: MockClock) -> None:
    cpu, users = FakeCollector("cpu", {}), FakeCollector("users", {})
    async with running(Rig(ALL, cpu, users)) as rig:
        await trio.sleep(2)
        rig.sampler.align(7.5, 5.0)
        await trio.sleep(16)
        assert rounded(cpu.times_s[2:]) == rounded(t - LEAD_S for t in (2.5, 7.5, 12.5, 17.5))


async def test_counters_keep_up_with_a_faster_beat_and_others_keep_their_period(
    autojump_clock: MockClock,
) -> None:
    cpu, users = FakeCollector("cpu", {}), FakeCollector("users", {})
    async with running(Rig(ALL, cpu, users)) as rig:
        await trio.sleep(10.5)
        for beat in range(10):
            rig.sampler.align(11.0 + beat, 1.0)
            await trio.sleep(1)
        assert len(cpu.times_s) == 4 + 10
        assert len(users.times_s) == 2
        await trio.sleep(45)
        assert rounded(users.times_s[2:]) == rounded([61 - LEAD_S])


async def test_heart_that_starts_anew_again_and_again_does_not_put_families_off(
    autojump_clock: MockClock,
) -> None:
    users = FakeCollector("users", {})
    async with running(Rig(ALL, users)) as rig:
        for link in range(100):
            rig.sampler.align(trio.current_time() + 3 + link % 2, 5.0)
            await trio.sleep(2.7)
        assert 5 <= len(users.times_s) <= 7


async def test_latest_of_every_family_is_there_for_a_new_master(autojump_clock: MockClock) -> None:
    cpu, users = FakeCollector("cpu", {}), FakeCollector("users", {})
    cpu.fail = OSError("never")
    async with running(Rig(ALL, cpu, users)) as rig:
        await trio.sleep(61)
        (sample,) = rig.sampler.samples()
        assert (sample.family, sample.mono_ms) == ("users", 60_000)


@given(st.floats(-1e6, 1e6), st.floats(1, 86_400), st.floats(0, 1e7))
def test_next_instant_on_the_grid_is_ahead_and_within_a_period(
    origin_s: float, period_s: float, after_s: float
) -> None:
    due_s = next_on_grid(origin_s, period_s, after_s)
    assert after_s < due_s <= after_s + period_s * 1.000001 + 1e-6
    assert abs(math.remainder(due_s - origin_s, period_s)) < 1e-3
