"""Bytes per report: a beat of this host beside node_exporter's page, plain and gzipped, in one run.

    python -m bench.beat_bytes [--json]

Needs Debian's package prometheus-node-exporter. A beat is counted as it leaves the host: framed, in
its TLS record. The page is counted as its body only, without HTTP's headers and without TLS.
"""

import argparse
import gzip
import sys

import msgspec
import trio

from agent.once import measure_once
from bench.baselines import MissingBaselineError, node_exporter
from bench.tables import print_results
from shared.families_settings import FamiliesSettings

TLS_RECORD_BYTES = 22
"""TLS 1.3 with AES-GCM: a header of 5, the kind of content in 1, a tag of 16."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--json", action="store_true", help="print JSON only")
    as_json: bool = arguments.parse_args().json

    labels: dict[str, str] = {}
    measurement = trio.run(measure_once, FamiliesSettings(), labels)
    beat_bytes = measurement.beat_bytes + TLS_RECORD_BYTES
    known = [v for v in msgspec.structs.astuple(measurement.core) if v is not None]
    try:
        with node_exporter() as exporter:
            page = exporter.page()
    except MissingBaselineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    samples = [line for line in page.splitlines() if line and not line.startswith(b"#")]
    gzipped = gzip.compress(page)
    print_results(
        [
            _row("heartline beat", beat_bytes, len(known), beat_bytes),
            _row("node_exporter page", len(page), len(samples), beat_bytes),
            _row("node_exporter page, gzipped", len(gzipped), len(samples), beat_bytes),
        ],
        as_json=as_json,
    )
    return 0


def _row(report: str, size_bytes: int, values: int, beat_bytes: int) -> dict[str, object]:
    return {
        "report": report,
        "bytes": size_bytes,
        "values": values,
        "bytes_per_value": round(size_bytes / values, 2),
        "times_a_beat": round(size_bytes / beat_bytes, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
