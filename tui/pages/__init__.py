"""The pages of the node view: each a pure function from a scene to lines, and its row here."""

from typing import Final

from tui.pages.host import inventory, node_events, sensors, users
from tui.pages.memories import memory
from tui.pages.network import interfaces, routes, sockets
from tui.pages.outages import outages
from tui.pages.overview import overview
from tui.pages.page import Page
from tui.pages.processes import processes
from tui.pages.processors import processors
from tui.pages.storage import storage

PAGES: Final = (
    Page("overview", "overview", "all", "1", ("system",), overview, has_graphs=True),
    Page("cpu", "cpu", "cpu", "2", ("cpu",), processors, has_graphs=True),
    Page("memory", "memory", "mem", "3", ("memory", "swap"), memory, has_graphs=True),
    Page("disks", "disks", "fs", "4", ("filesystems", "disks"), storage),
    Page("network", "network", "net", "5", ("network",), interfaces, has_graphs=True),
    Page("processes", "processes", "proc", "6", ("processes",), processes),
    Page("sensors", "sensors", "sens", "7", ("sensors",), sensors),
    Page("users", "users", "who", "8", ("users",), users),
    Page("ports", "ports", "port", "9", ("connections",), sockets),
    Page("routes", "routes", "rte", "0", ("routes",), routes),
    Page("outages", "outages", "out", "o", (), outages, has_record=True),
    Page("inventory", "inventory", "inv", "i", (), inventory),
    Page("events", "events", "log", "e", (), node_events),
)
"""Every page, in the order of the tabs."""
