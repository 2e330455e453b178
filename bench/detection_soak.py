"""How soon nodes are found out, and how often wrongly: at least ten node-days a row, our detector
beside fixed timeouts, phi accrual and Chen's, in the same run.

    python -m bench.detection_soak [--record] [--json] [--write]

Scenarios of stalls and outages are made up, and judged in a minute or two, the same each time.
Lossy lines are recorded (`bench.lossy_fleet`): the arrivals are replayed through every detector,
and what a real master made of them is told beside it. `--record` records them anew, which takes
root and half an hour. `--write` puts the tables into docs/detection.md.
"""

import argparse
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import lossy_fleet
from bench.lives import RECORDED, SYNTHETIC, Counts, Life, counted, recorded
from bench.rivals import JUDGES, OURS, PERIOD_S, Verdict, judged
from bench.tables import print_results
from docs.struct_tables import table
from shared.liveness import Evidence
from tests.scenarios.world import percentile

BEATS_A_LIFE: Final = 3_000
SYNTHETIC_LIVES: Final = 61

PAGE: Final = Path(__file__).parent.parent / "docs" / "detection.md"
_TABLE: Final = re.compile(
    r"(?P<begin><!-- measured: detection soak -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", action="store_true", help="record the lossy lines anew (root)")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    arguments = parser.parse_args()
    as_json: bool = arguments.json
    if arguments.record and (code := lossy_fleet.main([])):
        return code
    verdicts = {
        scenario: {
            name: judged(judge, lives, evidence, random.Random(2).random)
            for name, judge in JUDGES.items()
        }
        for scenario, lives, evidence in _scenarios()
    }
    print_results(list(_rows(verdicts)), as_json=as_json)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        text = _TABLE.sub(lambda at: f"{at['begin']}\n{_page(verdicts)}\n\n{at['end']}", page)
        PAGE.write_text(text, encoding="utf-8")
    return 0


def _scenarios() -> Iterator[tuple[str, list[Life], Evidence]]:
    for name, (new_life, evidence) in SYNTHETIC.items():
        rng = random.Random(3)
        yield name, [new_life(BEATS_A_LIFE, rng) for _ in range(SYNTHETIC_LIVES)], evidence
    for name, recording in RECORDED.items():
        yield name, recorded(recording, random.Random(4)), Evidence.SILENT


def _rows(verdicts: dict[str, dict[str, Verdict]]) -> Iterator[dict[str, object]]:
    for scenario, by_judge in verdicts.items():
        for judge, verdict in by_judge.items():
            yield {
                "detector": judge,
                "scenario": scenario,
                "node_days": round(verdict.node_days, 2),
                "false_downs_per_node_day": round(_per_node_day(judge, scenario, verdict), 2),
                "detected_p50_s": round(percentile(verdict.detected_s, 0.5), 1),
                "detected_p99_s": round(percentile(verdict.detected_s, 0.99), 1),
            }


def _page(verdicts: dict[str, dict[str, Verdict]]) -> str:
    quiet = verdicts["quiet"]
    lines = {name: counted(recording) for name, recording in RECORDED.items()}
    least = min(each.node_days for by_judge in verdicts.values() for each in by_judge.values())
    head = ("detector", "finds out, p50 / p99 s", *verdicts)
    rows = [
        (
            judge,
            f"{percentile(quiet[judge].detected_s, 0.5):.1f} / "
            f"{percentile(quiet[judge].detected_s, 0.99):.1f}",
            *(
                _rounded(_per_node_day(judge, scenario, by_judge[judge]))
                for scenario, by_judge in verdicts.items()
            ),
        )
        for judge in JUDGES
    ]
    return "\n\n".join(
        (
            f"False *downs* per node-day; a beat every {PERIOD_S:g} s, {least:.1f} node-days or "
            "more in each cell. Made by `make soak-detection`.",
            table(head, rows),
            "The same lines as the real master judged them while they were recorded, evidence and "
            "all: into which states nodes fell, per node-day.",
            table(
                ("line", "node-days", "late", "hung", "lost", "down"),
                [_counted(name, counts) for name, counts in lines.items()],
            ),
        )
    )


def _per_node_day(judge: str, scenario: str, verdict: Verdict) -> float:
    """False alarms; of ours on a recorded line those of the real master, which had its evidence."""
    if judge != OURS or scenario not in RECORDED:
        return verdict.per_node_day
    counts = counted(RECORDED[scenario])
    return counts.down / counts.node_days


def _counted(line: str, counts: Counts) -> tuple[str, ...]:
    fallen = (counts.late, counts.hung, counts.lost, counts.down)
    per_node_day = [_rounded(each / counts.node_days) for each in fallen]
    return (line, f"{counts.node_days:.1f}", *per_node_day)


def _rounded(rate: float) -> str:
    return f"{rate:.2f}" if 0.0 < rate < 1.0 else f"{rate:.{0 if rate >= 10 or not rate else 1}f}"


if __name__ == "__main__":
    sys.exit(main())
