"""The core sample of a simulated host, as its beats carry it."""

from typing import Final

from heartline.demo import hardware, physics, programs
from heartline.demo.hosts import Host
from heartline.demo.noise import unit
from heartline.demo.signs import Signs
from shared.metrics import Core

_CORES_AT_ONCE: Final = 6
"""The busiest of so many stands for the busiest of all where only the number is asked for."""


def core(host: Host, now: Signs) -> Core:
    """The core sample. What a file server keeps back is not in it."""
    memory_kib = host.memory_kib
    free = max(0.01, 1 - now.memory)
    is_stuck = now.stuck_since_s is not None
    mounts = host.role.mounts
    measured = [place for place, mount in enumerate(mounts) if not (is_stuck and mount.is_remote)]
    fullest = max(measured, key=lambda place: now.filling[place])
    return Core(
        cpu_busy_bp=_bp(now.busy),
        cpu_user_bp=_bp(now.busy - now.system),
        cpu_system_bp=_bp(now.system),
        cpu_iowait_bp=_bp(now.iowait),
        cpu_irq_bp=_bp(now.busy * 0.01),
        cpu_steal_bp=_bp(0.01 * unit(host.key, 11)) if host.role.is_virtual else 0,
        cpu_core_max_bp=_bp(
            max(physics.core_busy(host, now, place) for place in range(_CORES_AT_ONCE))
        ),
        cpu_count=host.cpus,
        cpu_frequency_mhz=physics.frequency_mhz(host, now),
        context_switches_per_s=round(physics.switches(host, now)),
        interrupts_per_s=round(physics.switches(host, now) * 0.6),
        load_1m_centi=round(now.load_1m * 100),
        load_5m_centi=round(now.load_5m * 100),
        load_15m_centi=round(now.load_15m * 100),
        memory_total_kib=memory_kib,
        memory_used_bp=_bp(now.memory),
        memory_available_kib=round(memory_kib * (1 - now.memory)),
        memory_free_kib=round(memory_kib * free * 0.3),
        memory_cached_kib=round(memory_kib * free * 0.6),
        memory_buffers_kib=round(memory_kib * free * 0.02),
        memory_shared_kib=round(memory_kib * 0.01),
        swap_total_kib=host.role.swap_gib * 2**20,
        swap_used_bp=_bp(now.swap) if host.role.swap_gib else None,
        swap_in_bytes_per_s=round(physics.swapping(now) * 0.4),
        swap_out_bytes_per_s=round(physics.swapping(now)),
        disk_read_bytes_per_s=round(now.read_bytes_per_s),
        disk_write_bytes_per_s=round(now.write_bytes_per_s),
        disk_reads_per_s=round(now.read_bytes_per_s / physics.BLOCK_BYTES),
        disk_writes_per_s=round(now.write_bytes_per_s / physics.BLOCK_BYTES),
        disk_busy_max_bp=_bp(now.disk_busy),
        filesystem_used_max_bp=_bp(now.filling[fullest]),
        filesystem_fullest=fullest,
        filesystem_inodes_max_bp=_bp(0.02 + 0.2 * unit(host.key, 12)),
        filesystem_free_min_kib=min(
            round(hardware.mount_bytes(mounts[place]) * (1 - now.filling[place]) / 1024)
            for place in measured
        ),
        network_receive_bytes_per_s=round(now.receive_bytes_per_s),
        network_transmit_bytes_per_s=round(now.transmit_bytes_per_s),
        network_receive_packets_per_s=round(now.receive_bytes_per_s / physics.PACKET_BYTES),
        network_transmit_packets_per_s=round(now.transmit_bytes_per_s / physics.PACKET_BYTES),
        network_receive_errors_per_s=0,
        network_transmit_errors_per_s=0,
        network_receive_drops_per_s=round(max(0.0, now.busy - 0.9) * 40),
        network_transmit_drops_per_s=0,
        network_interfaces_up=2 if hardware.interface(host) == "bond0" else 1,
        temperature_max_dc=None if host.role.is_virtual else round(physics.celsius(host, now) * 10),
        fan_min_rpm=physics.fan_rpm(host, now)
        if host.role.fans and not host.role.is_virtual
        else None,
        users=now.people,
        uptime_s=round(now.at_s - now.booted_s),
        processes=now.processes + (now.hog is not None),
        processes_running=programs.running_of(host, now),
        processes_blocked=3 if is_stuck else 0,
        processes_stopped=0,
        processes_zombie=0,
        threads=programs.threads(host, now),
        process_cpu_max_bp=_bp(now.hog.cpus if now.hog else physics.busiest(host, now)),
        process_memory_max_kib=programs.largest_bytes(host, now) // 1024,
        tcp_established=now.connections,
        tcp_listening=2 + len(host.role.services),
        tcp_time_wait=round(now.connections * 0.35),
        tcp_close_wait=round(now.connections * 0.01),
        udp_sockets=4,
        agent_cpu_bp=_bp(programs.AGENT_CPU),
        agent_memory_kib=programs.AGENT_KIB,
    )


def _bp(ratio: float) -> int:
    return round(max(0.0, ratio) * 10_000)
