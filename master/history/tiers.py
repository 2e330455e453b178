"""The tiers of the past, from the samples themselves to two hours: how they are cut into windows,
and how one becomes the next.

What has just been compacted is an *open* chunk: it is in no coarser tier yet. When its window is
over, all chunks of a window are folded into one, and what was open among them is added to the next
tier, open there. So the buckets of a tier are all of its own chunks, and besides, as they would be
rolled up, the open chunks of the finer tiers and the journal: each sample is counted once.
"""

from typing import Final, NamedTuple

from shared.settings import DAY_S, HistorySettings

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = DAY_S * 1000


class Tier(NamedTuple):
    """One of them. Windows begin at multiples of their length."""

    tier_ms: int
    """The length of a bucket, as in `chunks`; 0: the samples."""
    window_ms: int

    def window(self, at_ms: int) -> int:
        """Where the window begins in which an instant is."""
        return at_ms - at_ms % self.window_ms


SAMPLES: Final = Tier(0, _HOUR_MS)
MINUTES: Final = Tier(60_000, 6 * _HOUR_MS)
QUARTERS: Final = Tier(900_000, 4 * _DAY_MS)
HOURS: Final = Tier(7_200_000, 32 * _DAY_MS)

TIERS: Final = (SAMPLES, MINUTES, QUARTERS, HOURS)
"""From the finest on. Each one's window is a whole number of the one before's, and of the buckets
of all."""


def coarser(tier: Tier) -> Tier | None:
    """The next tier; None after the last."""
    place = TIERS.index(tier) + 1
    return TIERS[place] if place < len(TIERS) else None


def keep_ms(tier: Tier, settings: HistorySettings) -> int:
    """How long the settings keep it."""
    days = {
        SAMPLES: settings.keep_samples_days,
        MINUTES: settings.keep_1m_days,
        QUARTERS: settings.keep_15m_days,
        HOURS: settings.keep_2h_days,
    }
    return round(days[tier] * _DAY_MS)
