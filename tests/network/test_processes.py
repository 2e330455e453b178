"""End to end, with real processes: what ends a link, and what brings it back."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartline.exits import Exit
from shared.liveness import LOST_GRACE_S
from tests.eventually import eventually_in_processes
from tests.network.processes import DEADLINE_S, LOOPBACK, AgentProcess, MasterProcess, now_s
from tests.network.proxy import Proxy

TOOK_THE_PLACE = "took this one's place"

DOWN = {"down", "lost"}
"""States that nobody may see while everything is well. On a busy machine a beat may be late."""


@pytest.fixture(scope="module")
def shared_master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MasterProcess]:
    """One for all tests that leave it alone."""
    with MasterProcess(tmp_path_factory.mktemp("shared") / "master") as master:
        yield master.start()


@pytest.fixture
def own_master(tmp_path: Path) -> Iterator[MasterProcess]:
    """One that a test may kill."""
    with MasterProcess(tmp_path / "master") as master:
        yield master.start()


# --- the master goes away -------------------------------------------------------------------------


def test_killed_master_finds_its_agents_back_and_calls_none_down(
    own_master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(own_master)
        own_master.kill()
        own_master.start()
        own_master.until("web", "up")
        assert not DOWN & set(own_master.states_told("web"))
        assert "error connecting" not in agent.said
        assert agent.stop() == Exit.OK


def test_stopped_master_tells_its_agents_and_calls_none_down(
    own_master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(own_master)
        assert own_master.stop() == Exit.OK
        assert not (own_master.root / "master.json").exists()
        eventually_in_processes(lambda: "the master is stopping" in agent.said)
        own_master.start()
        own_master.until("web", "up")
        assert not DOWN & set(own_master.states_told("web"))


def test_master_that_hangs_for_a_while_loses_nobody(
    own_master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "web") as agent:
        agent.join(own_master)
        seen = own_master.vitals()["web"].seen_wall_ms
        own_master.signal(signal.SIGSTOP)
        stopped_s = now_s()
        eventually_in_processes(lambda: now_s() - stopped_s > 3)  # three beats and more
        own_master.signal(signal.SIGCONT)
        eventually_in_processes(
            lambda: (own_master.vitals()["web"].seen_wall_ms or 0) > (seen or 0) + 3000
        )
        own_master.until("web", "up")
        assert not DOWN & set(own_master.states_told("web"))
        assert "link ended" not in agent.said


# --- the agent goes away --------------------------------------------------------------------------


def test_killed_agent_is_lost_at_once_and_down_after_the_grace(
    shared_master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "killed") as agent:
        agent.join(shared_master)
        agent.kill()
        shared_master.until("killed", "down")
        (*_, lost, down) = shared_master.events("state", "killed")
        # Lost is who had a link that broke; whose beat does not come is late.
        assert (lost.after, down.after) == ("lost", "down")
        assert down.wall_ms - lost.wall_ms >= 1000 * LOST_GRACE_S - 50


def test_agent_that_is_stopped_has_left_and_comes_back_with_its_folder_alone(
    shared_master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "left") as agent:
        agent.join(shared_master)
        assert agent.stop() == Exit.OK
        shared_master.until("left", "left")
        assert "SIGTERM" in shared_master.vitals()["left"].reason
        agent.start()
        shared_master.until("left", "up")
        assert len(shared_master.events("enrolled", "left")) == 1


def test_agent_that_is_stopped_before_it_has_a_master_ends_in_order(
    shared_master: MasterProcess, tmp_path: Path
) -> None:
    with (
        Proxy(shared_master.port) as proxy,
        AgentProcess(tmp_path / "agent", "lonely", [proxy.address]) as agent,
    ):
        agent.join(shared_master)
        agent.kill()
        agent.start("--master", f"{LOOPBACK}:1")
        eventually_in_processes(lambda: "connection refused" in agent.said)
        assert agent.stop() == Exit.OK
        assert "Traceback" not in agent.said


# --- the link goes dead without a word ------------------------------------------------------------


def test_link_that_is_half_open_is_replaced(shared_master: MasterProcess, tmp_path: Path) -> None:
    with (
        Proxy(shared_master.port) as proxy,
        AgentProcess(tmp_path / "agent", "half-open", [proxy.address]) as agent,
    ):
        agent.root.mkdir(mode=0o700)
        patience = "[link]\nread_timeout_s = 1.5\nping_after_s = 0.5\n"
        (agent.root / "heartline.toml").write_text(patience)
        agent.join(shared_master)
        accepted = proxy.accepted
        proxy.swallow()
        eventually_in_processes(lambda: proxy.accepted > accepted)
        eventually_in_processes(lambda: "nothing was heard for 1.5 s" in agent.said)
        shared_master.until("half-open", "up")


def test_masters_are_tried_in_turn(shared_master: MasterProcess, tmp_path: Path) -> None:
    masters = [f"{LOOPBACK}:1", "nowhere.invalid:7700", shared_master.address]
    with AgentProcess(tmp_path / "agent", "in-turn", masters) as agent:
        agent.join(shared_master)


# --- identities -----------------------------------------------------------------------------------


def test_revoked_agent_ends_and_says_why_and_a_new_token_brings_it_back(
    shared_master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "revoked") as agent:
        agent.join(shared_master)
        shared_master.revoke("revoked")
        assert agent.wait() == Exit.REFUSED
        assert "revoked by the operator" in agent.said.splitlines()[-1]
        assert "join with a new token" in agent.said.splitlines()[-1]
        assert "Traceback" not in agent.said
        assert shared_master.states()["revoked"] == "revoked"
        agent.start()
        assert agent.wait() == Exit.REFUSED
        agent.start("--join", shared_master.token(), "--name", "revoked")
        shared_master.until("revoked-2", "up")


def test_token_of_before_does_not_bring_a_revoked_agent_back(
    shared_master: MasterProcess, tmp_path: Path
) -> None:
    token = shared_master.token(uses=5)
    with AgentProcess(tmp_path / "agent", "still-revoked") as agent:
        flags = ("--join", token, "--name", agent.name, "--master", shared_master.address)
        agent.start(*flags)
        shared_master.until("still-revoked", "up")
        shared_master.revoke("still-revoked")
        assert agent.wait() == Exit.REFUSED
        agent.start(*flags)
        assert agent.wait() == Exit.REFUSED
        assert "still-revoked-2" not in shared_master.states()


def test_two_agents_with_one_folder_are_a_conflict(
    shared_master: MasterProcess, tmp_path: Path
) -> None:
    with (
        AgentProcess(tmp_path / "one", "cloned") as one,
        AgentProcess(tmp_path / "two", "cloned") as two,
    ):
        one.join(shared_master)
        shutil.copytree(one.root, two.root)
        two.start()
        # Each that is displaced waits for some seconds before it takes its place back.
        eventually_in_processes(
            lambda: shared_master.events("conflict", "cloned"), within_s=3 * DEADLINE_S
        )
        eventually_in_processes(lambda: all(TOOK_THE_PLACE in each.said for each in (one, two)))
        assert len(shared_master.audit("session-replaced")) >= 2


def test_certificates_are_renewed_and_the_link_comes_back(tmp_path: Path) -> None:
    with (
        MasterProcess(tmp_path / "master", certificate_life_s=3) as master,
        AgentProcess(tmp_path / "agent", "short-lived") as agent,
    ):
        agent.join(master.start())
        eventually_in_processes(lambda: len(master.audit("key-retired")) >= 2, within_s=DEADLINE_S)
        assert not DOWN & set(master.states_told("short-lived"))
        agent.stop()
        agent.start()
        master.until("short-lived", "up")


# --- what a host may lack -------------------------------------------------------------------------


def test_agent_on_a_full_disk_beats_on(shared_master: MasterProcess, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    with AgentProcess(tmp_path / "agent", "full-disk") as agent:
        agent.join(shared_master)
        agent.stop()
        shared_master.until("full-disk", "left")
        # No file may grow beyond no byte: what a full disk says, with another number.
        agent.limits = {resource.RLIMIT_FSIZE: 0}
        agent.start()
        shared_master.until("full-disk", "up")
        beats = shared_master.vitals()["full-disk"].seen_wall_ms or 0
        eventually_in_processes(
            lambda: (shared_master.vitals()["full-disk"].seen_wall_ms or 0) > beats
        )


def test_master_without_descriptors_keeps_its_agents_and_its_operator(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    with (
        MasterProcess(tmp_path / "master", handshake_timeout_s=60) as master,
        AgentProcess(tmp_path / "agent", "web") as agent,
    ):
        master.limits = {resource.RLIMIT_NOFILE: 100}
        agent.join(master.start())
        silent = [socket.create_connection((LOOPBACK, master.port)) for _ in range(80)]
        eventually_in_processes(lambda: any(map(is_closed, silent)))
        master.until("web", "up")
        for sock in silent:
            sock.close()
        assert not DOWN & set(master.states_told("web"))
        assert master.stop() == Exit.OK


def is_closed(sock: socket.socket) -> bool:
    sock.settimeout(0.02)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


# --- the service manager --------------------------------------------------------------------------


class ServiceManager:
    """What systemd hears of a service of type notify with a watchdog."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0.05)
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        try:
            while True:
                self._heard.append(self._socket.recv(1000).decode().splitlines()[0])
        except TimeoutError:
            return self._heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ServiceManager]:
    manager = ServiceManager(tmp_path / "notify")
    yield manager
    manager.close()


def test_master_tells_its_service_manager_how_it_goes(
    manager: ServiceManager, tmp_path: Path
) -> None:
    with MasterProcess(tmp_path / "master") as master:
        master.environment = manager.environment
        master.start()
        eventually_in_processes(lambda: manager.heard().count("WATCHDOG=1") >= 3)
        assert "READY=1" in manager.heard()
        master.signal(signal.SIGHUP)
        eventually_in_processes(lambda: "RELOADING=1" in manager.heard())
        eventually_in_processes(lambda: manager.heard().count("READY=1") == 2)
        master.stop()
        assert "STOPPING=1" in manager.heard()


def test_agent_tells_its_service_manager_how_it_goes(
    shared_master: MasterProcess, manager: ServiceManager, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "notifying") as agent:
        agent.environment = manager.environment
        agent.join(shared_master)
        eventually_in_processes(lambda: manager.heard().count("WATCHDOG=1") >= 3)
        assert "READY=1" in manager.heard()
        # A loop that stalls feeds nobody: the service manager would end the process.
        agent.signal(signal.SIGSTOP)
        manager.heard()
        fed = manager.heard().count("WATCHDOG=1")
        stopped_s = now_s()
        eventually_in_processes(lambda: now_s() - stopped_s > 0.5)
        assert manager.heard().count("WATCHDOG=1") == fed
        agent.signal(signal.SIGCONT)
        eventually_in_processes(lambda: manager.heard().count("WATCHDOG=1") > fed)
        agent.stop()
        assert "STOPPING=1" in manager.heard()


def test_second_master_on_one_folder_is_refused(shared_master: MasterProcess) -> None:
    with MasterProcess(shared_master.root.with_name("second")) as second:
        second.arguments = ["master", "--data", str(shared_master.root)]
        super(MasterProcess, second).start("--listen", f"{LOOPBACK}:0")
        assert second.wait() == Exit.FAILED
        assert "another master runs on" in second.said
        description = json.loads((shared_master.root / "master.json").read_bytes())
        assert description["pid"] == shared_master.process.pid


def test_second_agent_on_one_folder_is_refused(
    shared_master: MasterProcess, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path / "agent", "first") as first:
        first.join(shared_master)
        with AgentProcess(first.root, "second") as second:
            second.start()
            assert second.wait() == Exit.FAILED
            assert "another agent runs on" in second.said
        shared_master.until("first", "up")


def test_nothing_that_a_master_writes_is_for_others(shared_master: MasterProcess) -> None:
    for folder, _, names in os.walk(shared_master.root):
        for name in names:
            mode = (Path(folder) / name).stat().st_mode
            assert name == "heartline.toml" or not mode & 0o077, name
