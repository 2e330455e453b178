"""`heartline doctor`: what is wrong is found, and comes with what to do about it."""

import contextlib
import datetime as dt
import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agent.identity import Identity, IdentityFolder
from agent.spool_ring import SPOOL, Ring, segment_files
from heartline.checks import (
    Finding,
    Subject,
    Verdict,
    history,
    host,
    identity,
    network,
    registry,
    spool,
)
from heartline.exits import Exit
from heartline.main import main
from heartline.viewer import ViewerIdentity
from master.authority import port_context
from master.history.history import History
from master.store import Store
from shared.certificates import CertificateAuthority
from shared.paths import StateFolder
from shared.private_files import private_folder, write_private
from shared.settings import AgentSettings, HistorySettings, MasterSettings, Settings
from tests.agent.spool_samples import samples
from tests.closed_port import closed_port
from tests.heartline.fake_master import FakeMaster

Findings = list[dict[str, Any]]
Examine = Callable[..., tuple[int, Findings]]

NOW = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / "heartline.toml").write_text('[master]\nlisten = ["127.0.0.1:0"]\n')
    return folder


@pytest.fixture
def examine(root: Path, capsys: pytest.CaptureFixture[str]) -> Examine:
    def examine() -> tuple[int, Findings]:
        code = main(["doctor", "--json", "--data", str(root)])
        return code, json.loads(capsys.readouterr().out)

    return examine


def of(findings: Findings, check: str) -> Findings:
    return [finding for finding in findings if finding["check"] == check]


def subject(root: Path, settings: Settings | None = None) -> Subject:
    return Subject(StateFolder(root), settings or Settings())


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def join(root: Path, certificate_ends: dt.datetime) -> CertificateAuthority:
    """Puts an identity into the folder, with a certificate that is good for 30 days before that."""
    authority = CertificateAuthority.create(NOW - dt.timedelta(days=365))
    life = dt.timedelta(days=30)
    key_pem, certificate_pem = authority.issue_master(certificate_ends - life, life)
    folder = IdentityFolder(StateFolder(root))
    folder.save(
        Identity(
            cluster="cluster",
            server_name=authority.server_name,
            node_id="0123456789abcdef",
            name="web-1",
            masters=("127.0.0.1:1",),
        )
    )
    folder.save_ca(authority.certificate_pem())
    folder.save_pending_key("a", key_pem)
    folder.fill("a", certificate_pem)
    return authority


def test_a_host_that_has_nothing_yet_has_no_problem(examine: Examine) -> None:
    code, findings = examine()
    assert code == Exit.OK
    assert all(finding["verdict"] != Verdict.PROBLEM for finding in findings)
    assert "heartline token create" in of(findings, "identity")[0]["detail"]


def test_every_finding_that_is_not_fine_says_what_to_do(root: Path, examine: Examine) -> None:
    (root / "heartline.toml").write_text("[mater]\n")
    root.chmod(0o777)
    code, findings = examine()
    ill = [finding for finding in findings if finding["verdict"] != Verdict.FINE]
    assert code == Exit.FAILED
    assert {"settings", "state folder"} <= {finding["check"] for finding in ill}
    assert all(finding["remedy"] for finding in ill)


def test_findings_are_printed_with_their_remedies(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root.chmod(0o777)
    assert main(["doctor", "--data", str(root)]) == Exit.FAILED
    out = capsys.readouterr().out
    assert f"→ run: chmod 0700 {root}" in out


def test_a_folder_that_others_may_look_into_is_a_warning(root: Path, examine: Examine) -> None:
    root.chmod(0o755)
    _, findings = examine()
    (finding,) = of(findings, "state folder")
    assert finding["verdict"] == Verdict.WARNING
    assert finding["remedy"] == f"chmod 0700 {root}"


def test_a_key_that_others_may_read_is_a_problem(root: Path, examine: Examine) -> None:
    secrets = root / "ca"
    secrets.mkdir(mode=0o700)
    key = secrets / "ca.key"
    key.touch(mode=0o644)
    key.chmod(0o644)
    code, findings = examine()
    assert code == Exit.FAILED
    assert str(key) in of(findings, "secrets")[0]["remedy"]


def test_a_settings_file_that_others_may_write_to_is_a_problem(
    root: Path, examine: Examine
) -> None:
    (root / "heartline.toml").chmod(0o666)
    code, findings = examine()
    assert code == Exit.FAILED
    assert "chmod go-w" in of(findings, "settings")[-1]["remedy"]


def test_a_taken_port_is_a_problem_that_names_who_took_it(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings(master=MasterSettings(listen=(address,)))
        finding = only(list(network.ports(subject(root, settings))))
    assert finding.verdict is Verdict.PROBLEM
    assert address in finding.detail
    assert f"process {os.getpid()}" in finding.detail


def test_an_address_of_another_host_cannot_be_listened_on(root: Path) -> None:
    settings = Settings(master=MasterSettings(listen=("192.0.2.77:7700",)))
    finding = only(list(network.ports(subject(root, settings))))
    assert finding.verdict is Verdict.PROBLEM
    assert "an address of this host" in finding.remedy


def test_a_master_that_cannot_be_dialled_is_a_problem(root: Path) -> None:
    with closed_port() as port:
        address = f"127.0.0.1:{port}"
        settings = Settings(agent=AgentSettings(master=(address,)))
        finding = only(list(network.reachability(subject(root, settings))))
    assert finding.verdict is Verdict.PROBLEM
    assert finding.detail == f"{address}: connection refused"


def test_a_name_that_does_not_resolve_is_a_problem(root: Path) -> None:
    settings = Settings(agent=AgentSettings(master=("master.invalid",)))
    finding = only(list(network.reachability(subject(root, settings))))
    assert finding.remedy == "check the name and DNS"


@pytest.mark.parametrize(
    ("ends_in_days", "verdict", "said"),
    [
        (10, Verdict.FINE, "good until"),
        (-10, Verdict.WARNING, "expired"),
        (-60, Verdict.PROBLEM, "too long ago"),
        (400, Verdict.WARNING, "the clock is wrong"),
    ],
)
def test_the_certificate_is_judged_by_the_clock(
    root: Path, monkeypatch: pytest.MonkeyPatch, ends_in_days: int, verdict: Verdict, said: str
) -> None:
    join(root, NOW + dt.timedelta(days=ends_in_days))
    monkeypatch.setattr(identity, "wall_ms", lambda: int(NOW.timestamp() * 1000))
    who, certificate = identity.agent_identity(subject(root))
    assert "web-1" in who.detail
    assert certificate.verdict is verdict
    assert said in certificate.detail + certificate.remedy


@pytest.mark.parametrize(
    ("age_days", "verdict", "remedy"),
    [
        (6, Verdict.FINE, ""),
        (8, Verdict.WARNING, "heartline nodes: it renews the certificate"),
        (38, Verdict.PROBLEM, "--role viewer"),
    ],
)
def test_a_viewers_certificate_can_be_renewed_for_a_month_after_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch, age_days: int, verdict: Verdict, remedy: str
) -> None:
    authority = CertificateAuthority.create(NOW)
    _, certificate_pem = authority.issue_master(NOW, dt.timedelta(days=7))
    place = private_folder(StateFolder(root).viewer_dir)
    write_private(place / "viewer.pem", certificate_pem)
    viewer = ViewerIdentity("cluster", "name", "0123456789abcdef", ("10.0.0.5:7700",))
    write_private(place / "viewer.json", msgspec.json.encode(viewer))
    now_ms = int(NOW.timestamp() * 1000) + age_days * 86_400_000
    monkeypatch.setattr(identity, "wall_ms", lambda: now_ms)
    who, certificate = identity.viewer_identity(subject(root))
    assert "10.0.0.5:7700" in who.detail
    assert certificate.verdict is verdict
    assert remedy in certificate.remedy


@pytest.fixture
def answering_master(root: Path) -> Generator[Settings]:
    """A master of the cluster that `root` has joined, up to TLS; its certificate is of `NOW`."""
    authority = join(root, NOW + dt.timedelta(days=10))
    context = port_context(authority, NOW)

    def greet(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = listener.accept()
                with link, contextlib.suppress(OSError):
                    context.wrap_socket(link, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet, args=(listener,))
        thread.start()
        yield Settings(agent=AgentSettings(master=(f"127.0.0.1:{listener.getsockname()[1]}",)))
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("days_off", [400, -400])
def test_a_clock_that_a_master_contradicts_is_a_warning_and_judges_no_certificate(
    root: Path, answering_master: Settings, monkeypatch: pytest.MonkeyPatch, days_off: int
) -> None:
    wrong_ms = int((NOW + dt.timedelta(days=days_off)).timestamp() * 1000)
    monkeypatch.setattr(host, "CLOCK_SAMPLE_S", 0.0)
    monkeypatch.setattr(host, "EARLIEST", NOW - dt.timedelta(days=1000))
    monkeypatch.setattr(host, "wall_ms", lambda: wrong_ms)
    monkeypatch.setattr(identity, "wall_ms", lambda: wrong_ms)
    clock = only(list(host.clock(subject(root, answering_master))))
    assert clock.verdict is Verdict.WARNING
    assert "by the master at 127.0.0.1" in clock.detail
    _, certificate = identity.agent_identity(subject(root, answering_master))
    assert certificate.verdict is Verdict.WARNING
    assert "cannot judge" in certificate.detail


def test_a_clock_that_a_master_agrees_with_is_fine(
    root: Path, answering_master: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = int((NOW + dt.timedelta(days=1)).timestamp() * 1000)
    monkeypatch.setattr(host, "CLOCK_SAMPLE_S", 0.0)
    monkeypatch.setattr(host, "CLOCK_DRIFT_S", 10.0)
    monkeypatch.setattr(host, "wall_ms", lambda: now_ms)
    assert only(list(host.clock(subject(root, answering_master)))).verdict is Verdict.FINE


def test_a_master_that_does_not_answer_is_a_problem_and_no_second_one_is_advised(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "ca").mkdir(mode=0o700)
    monkeypatch.setattr(network, "CONNECT_S", 0.05)
    with FakeMaster(root, lambda _message: (), greeting=None):
        finding = only(list(network.local_master(subject(root))))
        (port,) = network.ports(subject(root))
    assert finding.verdict is Verdict.PROBLEM
    assert "does not answer" in finding.detail
    assert "heartline master" not in finding.remedy
    assert port.verdict is Verdict.FINE


def test_a_master_that_is_gone_is_to_be_started(root: Path) -> None:
    (root / "ca").mkdir(mode=0o700)
    finding = only(list(network.local_master(subject(root))))
    assert finding.verdict is Verdict.WARNING
    assert "heartline master --data" in finding.remedy


def test_a_viewers_folder_needs_no_port_of_a_master(root: Path) -> None:
    (root / "viewer").mkdir(mode=0o700)
    assert list(network.ports(subject(root))) == []


def test_a_damaged_identity_is_a_problem_with_a_remedy(root: Path) -> None:
    join(root, NOW)
    (root / "agent" / "identity.json").write_text("{")
    finding = only(list(identity.agent_identity(subject(root))))
    assert finding.verdict is Verdict.PROBLEM
    assert "join again" in finding.remedy


def test_a_clock_before_this_program_existed_is_a_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "CLOCK_SAMPLE_S", 0.0)
    monkeypatch.setattr(host, "wall_ms", lambda: 0)
    finding = only(list(host.clock(subject(root))))
    assert finding.verdict is Verdict.WARNING
    assert "1970-01-01" in finding.detail


def test_a_clock_that_is_being_set_is_a_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter([2_000_000_000_000, 2_000_000_005_000, 2_000_000_005_000])

    def pass_over(_seconds: float) -> None:
        """Takes no time."""

    still = SimpleNamespace(monotonic=lambda: 1000.0, sleep=pass_over)
    monkeypatch.setattr(host, "time", still)
    monkeypatch.setattr(host, "wall_ms", lambda: next(readings))
    finding = only(list(host.clock(subject(root))))
    assert finding.verdict is Verdict.WARNING
    assert "set by +5.00 s" in finding.detail


# --- the registry ---------------------------------------------------------------------------------


def registered(root: Path) -> Path:
    """A master's folder with a registry, which is closed."""
    (root / "ca").mkdir(mode=0o700)
    path = StateFolder(root).database
    Store.open(path).close()
    return path


def test_registry_that_is_sound_is_fine(root: Path) -> None:
    registered(root)
    assert only(list(registry.registry(subject(root)))).verdict is Verdict.FINE


@pytest.mark.parametrize("begins_at", [0, 4096])
def test_damaged_registry_is_a_problem_that_names_the_way_out(root: Path, begins_at: int) -> None:
    path = registered(root)
    content = bytearray(path.read_bytes())
    content[begins_at : begins_at + 20 * 1024] = b"\x55" * 20 * 1024
    path.write_bytes(content)
    finding = only(list(registry.registry(subject(root))))
    assert finding.verdict is Verdict.PROBLEM
    assert "master.db is damaged" in finding.detail
    assert "restore a backup" in finding.remedy


# --- the history ----------------------------------------------------------------------------------


def recorded(root: Path) -> Path:
    """A master's folder with a history, which is closed."""
    (root / "ca").mkdir(mode=0o700)
    path = StateFolder(root).history
    History.open(path, HistorySettings()).close()
    return path


def keeping(keep_bytes: int) -> Settings:
    return Settings(history=HistorySettings(keep_bytes=keep_bytes))


def test_history_that_is_sound_has_its_size_told(root: Path) -> None:
    recorded(root)
    found = list(history.history(subject(root, keeping(2**24))))
    assert [finding.verdict for finding in found] == [Verdict.FINE, Verdict.FINE]
    assert "may become 16 MiB" in found[1].detail


def test_history_is_looked_at_while_a_master_writes_it(root: Path) -> None:
    path = recorded(root)
    writing = History.open(path, HistorySettings())
    try:
        found = list(history.history(subject(root, keeping(2**24))))
    finally:
        writing.close()
    assert {finding.verdict for finding in found} == {Verdict.FINE}


def test_damaged_history_is_a_problem(root: Path) -> None:
    path = recorded(root)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b"\x55" * (len(content) - len(content) // 2)
    path.write_bytes(content)
    found = list(history.history(subject(root, keeping(2**24))))
    assert found[0].verdict is Verdict.PROBLEM
    assert "restart the master" in found[0].remedy


def test_file_that_is_no_history_is_a_problem_and_no_traceback(root: Path) -> None:
    recorded(root).write_bytes(b"no database at all, and long enough to be looked at\n" * 100)
    found = list(history.history(subject(root)))
    assert found[0].verdict is Verdict.PROBLEM


def test_parts_that_were_set_aside_are_a_warning(root: Path) -> None:
    path = recorded(root)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO damaged VALUES (1, 0, 'chunks', 7, 1, 0, 'torn', x'00')")
    connection.commit()
    connection.close()
    path.with_name(f"{path.name}.damaged-20261120T000000").touch()
    found = list(history.history(subject(root, keeping(2**24))))
    ill = [finding for finding in found if finding.verdict is Verdict.WARNING]
    assert len(ill) == 2
    assert "1 damaged parts" in ill[0].detail


def test_history_that_may_become_larger_than_the_disk_is_a_warning(root: Path) -> None:
    recorded(root)
    found = list(history.history(subject(root, keeping(2**50))))
    assert found[1].verdict is Verdict.WARNING
    assert "history.keep_bytes" in found[1].remedy


def test_host_without_a_master_has_no_history_to_look_at(root: Path) -> None:
    assert list(history.history(subject(root))) == []


# --- the spool ------------------------------------------------------------------------------------


def spooling(root: Path, count: int) -> Path:
    """An agent's folder with so many samples in its spool."""
    ring = Ring(StateFolder(root).agent_dir / SPOOL, 2**24, 24)
    ring.open()
    ring.append(samples(1, count))
    ring.close()
    return segment_files(ring.folder)[-1]


def test_spool_is_told_with_what_it_holds(root: Path) -> None:
    spooling(root, 12)
    finding = only(list(spool.spool(subject(root))))
    assert finding.verdict is Verdict.FINE
    assert "12 samples" in finding.detail


def test_damaged_spool_is_a_warning(root: Path) -> None:
    path = spooling(root, 12)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    finding = only(list(spool.spool(subject(root))))
    assert finding.verdict is Verdict.WARNING
    assert "11 samples" in finding.detail


def test_spool_that_cannot_be_written_is_a_problem(root: Path) -> None:
    StateFolder(root).agent_dir.mkdir(mode=0o700)
    (StateFolder(root).agent_dir / SPOOL).write_text("in the way")
    finding = only(list(spool.spool(subject(root))))
    assert finding.verdict is Verdict.PROBLEM


def test_spool_that_may_become_larger_than_the_disk_is_a_warning(root: Path) -> None:
    spooling(root, 1)
    settings = Settings(agent=AgentSettings(spool_bytes=2**40))
    _, finding = spool.spool(subject(root, settings))
    assert finding.verdict is Verdict.WARNING
    assert "agent.spool_bytes" in finding.remedy


def test_spool_in_memory_is_told(root: Path) -> None:
    StateFolder(root).agent_dir.mkdir(mode=0o700)
    settings = Settings(agent=AgentSettings(spool_bytes=0))
    finding = only(list(spool.spool(subject(root, settings))))
    assert "memory" in finding.detail


def test_host_without_an_agent_has_no_spool(root: Path) -> None:
    assert list(spool.spool(subject(root))) == []
