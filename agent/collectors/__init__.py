"""The collectors: one module per family or two, all of them listed here."""

from agent.collectors.connections import ConnectionsCollector
from agent.collectors.cpu import CpuCollector
from agent.collectors.disks import DisksCollector
from agent.collectors.filesystems import FilesystemsCollector
from agent.collectors.memory import MemoryCollector, SwapCollector
from agent.collectors.network import NetworkCollector
from agent.collectors.processes import ProcessesCollector
from agent.collectors.reading import Collector
from agent.collectors.routes import RoutesCollector
from agent.collectors.sensors import SensorsCollector
from agent.collectors.system import SystemCollector
from agent.collectors.users import UsersCollector
from shared.families_settings import FamiliesSettings


def collectors(settings: FamiliesSettings) -> tuple[Collector, ...]:
    """A new collector of each family, whether it is switched on or not."""
    return (
        CpuCollector(),
        MemoryCollector(),
        SwapCollector(),
        DisksCollector(),
        FilesystemsCollector(),
        NetworkCollector(),
        SensorsCollector(),
        UsersCollector(),
        SystemCollector(),
        ProcessesCollector(settings.processes),
        ConnectionsCollector(),
        RoutesCollector(),
    )
