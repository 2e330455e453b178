"""Rates and shares are never negative and never absurd, whatever the counters do."""

from hypothesis import given
from hypothesis import strategies as st

from agent.rates import LARGEST_RATE_PER_S, Counters, CpuClock, cpu_shares, row_rates, share

counts = st.integers(min_value=0, max_value=2**64 - 1)
rows = st.lists(counts, min_size=1, max_size=5)
seconds = st.floats(min_value=0, max_value=1e9, allow_nan=False)
intervals = st.floats(min_value=-10, max_value=1e6, allow_nan=False)
clocks = st.builds(CpuClock, *[seconds] * 6)


def test_rate_is_the_difference_over_the_time_between() -> None:
    assert row_rates([100, 7], [600, 7], 5.0) == (100.0, 0.0)


@given(rows, rows, intervals)
def test_row_gives_believable_rates_or_none(
    before: list[int], after: list[int], elapsed_s: float
) -> None:
    rates = row_rates(before, after, elapsed_s)
    if rates is not None:
        assert len(rates) == len(after)
        assert all(0 <= rate <= LARGEST_RATE_PER_S for rate in rates)


@given(rows, st.data(), st.floats(min_value=0.05, max_value=3600))
def test_one_counter_that_went_backwards_condemns_its_row(
    before: list[int], data: st.DataObject, elapsed_s: float
) -> None:
    after = [count + 1 for count in before]
    position = data.draw(st.integers(0, len(before) - 1))
    after[position] = data.draw(st.integers(-1, before[position] - 1))
    assert row_rates(before, after, elapsed_s) is None


def test_counter_that_wraps_at_32_bits_gives_no_rate_once_and_then_rates_again() -> None:
    counters = Counters()
    counters.update({"eth0": (2**32 - 1000, 5)}, 0.0)
    assert counters.update({"eth0": (4000, 6)}, 5.0) == {"eth0": None}
    assert counters.update({"eth0": (9000, 6)}, 10.0) == {"eth0": (1000.0, 0.0)}


def test_small_negative_number_of_a_driver_is_no_flood() -> None:
    assert row_rates([10], [2**64 - 3], 5.0) is None


def test_interface_that_was_created_anew_starts_without_rates() -> None:
    counters = Counters()
    counters.update({"ppp0": (500, 900)}, 0.0)
    assert counters.update({}, 5.0) == {}
    assert counters.update({"ppp0": (10_000, 20_000)}, 10.0) == {"ppp0": None}


def test_readings_too_close_together_give_no_rate() -> None:
    assert row_rates([0], [1], 0.001) is None


def test_clock_that_stood_still_gives_no_rate() -> None:
    assert row_rates([0], [1], 0.0) is None


def test_shares_are_of_the_time_that_passed() -> None:
    shares = cpu_shares(CpuClock(10, 5, 80), CpuClock(12, 6, 86, 1.0), 5.0, cores=2)
    assert shares is not None
    assert shares.user_ratio == 0.2
    assert shares.system_ratio == 0.1
    assert shares.iowait_ratio == 0.1
    assert shares.busy_ratio == 0.3


@given(clocks, clocks, intervals, st.integers(1, 512))
def test_shares_are_parts_of_a_whole_or_none(
    before: CpuClock, after: CpuClock, elapsed_s: float, cores: int
) -> None:
    shares = cpu_shares(before, after, elapsed_s, cores)
    if shares is None:
        return
    parts = (
        shares.user_ratio,
        shares.system_ratio,
        shares.iowait_ratio,
        shares.irq_ratio,
        shares.steal_ratio,
        shares.busy_ratio,
    )
    assert all(part is not None and 0 <= part <= 1 for part in parts)


def test_waiting_for_io_that_runs_backwards_counts_as_none() -> None:
    shares = cpu_shares(CpuClock(0, 0, 0, 9.0), CpuClock(1, 0, 4, 8.5), 5.0, cores=1)
    assert shares is not None
    assert shares.iowait_ratio == 0
    assert shares.busy_ratio == 0.2


def test_busy_processor_whose_idle_time_slips_back_a_tick_is_busy() -> None:
    shares = cpu_shares(CpuClock(0, 0, 50.0), CpuClock(5, 0, 49.99), 5.0, cores=1)
    assert shares is not None
    assert shares.busy_ratio == 1


def test_processor_that_was_unplugged_gives_no_shares() -> None:
    assert cpu_shares(CpuClock(10, 5, 80), CpuClock(0.5, 0, 0), 5.0, cores=1) is None


def test_more_time_than_there_was_gives_no_shares() -> None:
    stolen = CpuClock(1, 0, 4, steal=1.8e10)
    assert cpu_shares(CpuClock(0, 0, 0), stolen, 5.0, cores=1) is None


@given(seconds, seconds)
def test_share_is_a_part(part: float, whole: float) -> None:
    assert 0 <= share(part, whole) <= 1
