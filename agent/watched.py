"""One family as the sampler sees it: what it last gave, when, and what is wrong with it."""

import math
from typing import Final

from agent.batch import Batch, Finished
from agent.collectors.reading import Collector, CoreValues, Facts, Reading
from agent.wording import fit
from shared.errors import reason_of
from shared.families import FamilyData
from shared.families_settings import FamilySettings
from shared.messages import FamilySample, Trouble, raw
from shared.text import TEXT_LIMIT_CHARACTERS

STALE_PERIODS: Final = 3
"""So many readings missed, and a value is not known any more."""

READINGS_FOR_RATES: Final = 2
"""The first two are sent in full whatever the period: the first tells rates of nothing."""

FAILED: Final = "failed"
STUCK: Final = "stuck"


class Watched:
    """A collector and its history. `due_s`, `anchor_s` and `wanted_s` are on trio's."""

    def __init__(self, collector: Collector, settings: FamilySettings, since_s: float) -> None:
        self.collector: Final = collector
        self.settings: Final = settings
        self.due_s = 0.0
        self.anchor_s = 0.0
        """It is due whole periods from here."""
        self.wanted_s = 0.0
        """When it would be due if the heart had not moved: links that flap must not put it off."""
        self.begun_s = -math.inf
        """When the reading before was due."""
        self.period_s: float = settings.period_s
        """How often it is read now."""
        self.detail_s: float = settings.detail_s
        """How often it is sent in full now."""
        self.readings = 0
        """How many have succeeded."""
        self.tried = False
        """Whether one has succeeded, failed or been given up."""
        self._latest: Reading | None = None
        self._latest_s = since_s
        self._latest_wall_ms = 0
        self._whole_s = since_s
        """When it was last read with nothing in it stuck; until then, when it was first due."""
        self._sent_s = -math.inf
        self._failure = ""
        self._hanging: Batch | None = None

    def __repr__(self) -> str:
        return f"<Watched {self.collector.family}, {self.readings} readings>"

    @property
    def data(self) -> FamilyData | None:
        """The family as it was last read."""
        return self._latest.data if self._latest else None

    @property
    def facts(self) -> Facts:
        """What it last contributed to the inventory."""
        return self._latest.facts if self._latest else {}

    def core(self, now_s: float) -> CoreValues:
        """Its values for the core sample; none when they are too old to be true."""
        stale_s = STALE_PERIODS * self.settings.period_s + self.settings.deadline_s
        if self._latest is None or now_s - self._latest_s > stale_s:
            return {}
        return self._latest.core

    def sample(self) -> FamilySample | None:
        """The family in full as it was last read, as a message."""
        if self._latest is None:
            return None
        return FamilySample(
            family=self.collector.family,
            mono_ms=round(self._latest_s * 1000),
            wall_ms=self._latest_wall_ms,
            period_ms=round(max(self.period_s, self.detail_s) * 1000),
            data=raw(self._latest.data),
        )

    def trouble(self, now_s: float) -> Trouble | None:
        """What is wrong with it, if anything is."""
        if self._hanging is not None and not self._hanging.done.is_set():
            state, text = STUCK, "a reading has not returned"
        elif self._failure:
            state, text = FAILED, self._failure
        elif self._latest is not None and self._latest.stuck:
            state, text = STUCK, self._latest.stuck
        else:
            return None
        age_s = max(0, int(now_s - self._whole_s))
        return Trouble(self.collector.family, state, age_s, fit(text, TEXT_LIMIT_CHARACTERS))

    def has_returned(self) -> bool:
        """Whether it may be read again.

        Raises:
            Exception: the reading that hung has ended in a bug.
        """
        if self._hanging is not None:
            if not self._hanging.done.is_set():
                return False
            self._hanging.results()
            self._hanging = None
        return True

    def hangs_in(self, batch: Batch) -> None:
        """It has had its time and is left in the batch's thread."""
        self.tried = True
        self._hanging = batch

    def take(self, finished: Finished, wall_ms: int) -> bool:
        """Keeps what came of a reading; whether that is to be sent in full."""
        self.tried = True
        match finished.result:
            case Reading() as reading:
                self._failure = ""
            case OSError() as error if error.strerror:
                self._failure = reason_of(error)
                return False
            case error:
                self._failure = f"{type(error).__name__}: {error}"
                return False
        self.readings += 1
        self._latest, self._latest_s, self._latest_wall_ms = reading, finished.at_s, wall_ms
        if not reading.stuck:
            self._whole_s = finished.at_s
        # Half a period of grace: the reading that is due may come a moment early.
        due_s = self._sent_s + self.detail_s - self.period_s / 2
        if self.readings > READINGS_FOR_RATES and finished.at_s < due_s:
            return False
        self._sent_s = finished.at_s
        return True
