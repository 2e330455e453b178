"""Which metrics tell of others: what one can be told from is not written a second time.

Part of the format of chunks (`master.history.codec`): other relations are another version of it.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

from master.history.matrix import Relation, Relations
from shared.metrics import metrics

_TOLD_FROM: Final[Mapping[str, Mapping[str, int]]] = {
    "cpu_user_bp": {"cpu_busy_bp": 1, "cpu_system_bp": -1, "cpu_irq_bp": -1, "cpu_steal_bp": -1},
    "cpu_core_max_bp": {"cpu_busy_bp": 1},
    "memory_used_bp": {"memory_total_kib": 1, "memory_available_kib": -1},
    "memory_free_kib": {
        "memory_available_kib": 1,
        "memory_cached_kib": -1,
        "memory_buffers_kib": -1,
    },
    "network_transmit_packets_per_s": {"network_receive_packets_per_s": 1},
    "threads": {"processes": 1},
}
"""Which metrics' sum, with these factors, tells most of another."""

_SHARE_OF: Final[Mapping[str, str]] = {"memory_used_bp": "memory_total_kib"}
"""Of which metric it is a share."""


@cache
def relations(columns: int, firsts: tuple[int, ...]) -> Relations:
    """Between the rows of a table that has so many metrics, as far as it has those that these are
    of; `firsts`: the rows of the first metric, of each kind that there is of all metrics."""
    index = {metric.name: metric.index for metric in metrics()}
    found: dict[int, Relation] = {}
    for name, others in _TOLD_FROM.items():
        if max(index[name], *[index[other] for other in others]) >= columns:
            continue
        whole = _SHARE_OF.get(name)
        for first in firsts:
            found[first + index[name]] = Relation(
                tuple([(first + index[other], factor) for other, factor in others.items()]),
                None if whole is None else first + index[whole],
            )
    return found
