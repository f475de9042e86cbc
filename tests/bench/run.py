#!/usr/bin/env python3
"""Measures this proxy against the prototypes and says whether it keeps its promises.

    BENCH_OURS='telemt-trio run {config}' python tests/bench/run.py --json out.json

Ratios are medians over interleaved rounds within one run of bench.py; memory and start-up are absolute. Exit status 0
means that every figure was measured without an error and holds. `nox -s bench` calls this with everything in place.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import bench
import proxies

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Promise:
    """One figure of ours and the most it may be: times the base, or without a base in `unit`."""

    scenario: str
    metric: str
    limit: float
    base: str | None
    unit: str


PROMISES = [
    Promise("down", "cpu_s_per_gb", 1.15, "trio-fastll-64k", "CPU s/GB"),
    Promise("up", "cpu_s_per_gb", 1.15, "trio-ll-64k", "CPU s/GB"),
    Promise("hs", "cpu_ms_per_hs", 1.3, "trio-ll-64k", "CPU ms/handshake"),
    Promise("users1000", "cpu_ms_per_hs", 0.6, "trio-ll-64k", "CPU ms/handshake"),
    Promise("msgs", "cpu_us_per_msg", 1.15, "trio-ll-64k", "CPU us/message"),
    Promise("idle2000", "pss_kb_per_conn", 17.0, None, "KiB PSS/connection"),
    Promise("idle2000", "warm_pss_kb_per_conn", 18.0, None, "KiB PSS/connection"),
    Promise("start", "seconds", 0.7, None, "s"),
]


@dataclass
class Finding:
    """What was measured for one promise. `value` is the ratio, or the figure itself where there is no base."""

    promise: Promise
    value: float
    ours: float
    control: float | None  # the base measured a second time, as a ratio to itself
    rounds: int
    errors: int
    other: float  # the share of a core that other programs took meanwhile

    def holds(self, rounds: int) -> bool:
        return self.value <= self.promise.limit and self.rounds >= rounds and not self.errors


# ---------------------------------------------------------------- measuring


def load(base: str | None, scenarios: list[str], a: argparse.Namespace) -> dict:
    """One run of bench.py: base (and control), ours, in turn."""
    names = [base] if base else []
    names += [f"{base}-again"] if base and a.control else []
    with tempfile.TemporaryDirectory(prefix="mtpbench-run-") as folder:
        out = Path(folder) / "out.json"
        more = os.pathsep.join(filter(None, [str(HERE / "again.py"), os.environ.get("BENCH_MORE")]))
        subprocess.run(
            [sys.executable, str(HERE / "bench.py"), "--proxy", ",".join([*names, "ours"]), "--scenario", ",".join(scenarios),
             "--mode", a.mode, "--rounds", str(a.rounds), "--secs", str(a.secs), "--json", str(out)],
            check=True, env={**os.environ, "BENCH_MORE": more},
        )
        return json.loads(out.read_text())


def start_up(rounds: int) -> list[float]:
    """Seconds from the start of the process to the first accepted connection; one start before, to warm the disk cache."""
    seconds = []
    with tempfile.TemporaryDirectory(prefix="mtpbench-start-") as folder:
        ctx = proxies.Ctx(Path(folder), bench.PORT, bench.DC, bench.SOCKS, bench.MIDDLE, bench.MASK, Path(folder) / "unused",
                          {"user": "0123456789abcdef" * 2}, "bench.example", "ee")
        launch = proxies.PROXIES["ours"].launch(ctx)
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            process = subprocess.Popen(launch.argv, cwd=launch.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            try:
                seconds.append(until_listening(process, begin))
            finally:
                bench.stop_tree(process)
    return seconds[1:]


def until_listening(process: subprocess.Popen, begin: float) -> float:
    while True:
        try:
            socket.create_connection(("127.0.0.1", bench.PORT), 1).close()
            return time.perf_counter() - begin
        except OSError:
            if process.poll() is not None:
                raise RuntimeError(f"the proxy exited with status {process.returncode}") from None
            if time.perf_counter() - begin > 20:
                raise RuntimeError("the proxy does not listen") from None
            time.sleep(0.002)


# ---------------------------------------------------------------- judging


def find(promise: Promise, run: dict) -> Finding:
    """What a run of bench.py says about a promise; an absent figure is one that does not hold."""
    per = run["summary"].get(promise.scenario, {})
    dc = [r.get("dc", {}) for r in run["runs"] if r["scenario"] == promise.scenario]
    errors = sum(p.get("errors", 0) for p in per.values()) + sum(d.get("errors", 0) + d.get("bad_msgs", 0) for d in dc)
    ours = per.get("ours", {})
    nan = float("nan")
    value = (ours.get("ratio", {}) if promise.base else ours).get(promise.metric, nan)
    again = per.get(f"{promise.base}-again", {}).get("ratio", {}).get(promise.metric)
    return Finding(promise, value, ours.get(promise.metric, nan), again, ours.get("rounds", 0), errors,
                   ours.get("other_cpu_share", 0.0))


def print_verdict(findings: list[Finding], rounds: int) -> None:
    rows = [["figure", "measured", "limit", "ours", "control", "rounds", "errors", "other", "verdict"]]
    for f in findings:
        p = f.promise
        name = f"{p.scenario} {p.metric}" + (f" / {p.base}" if p.base else "")
        rows.append([name, "%.2f%s" % (f.value, " x" if p.base else ""), "%.2f" % p.limit, "%.3f %s" % (f.ours, p.unit),
                     "-" if f.control is None else "%.2f x" % f.control, str(f.rounds), str(f.errors), "%.0f%%" % (100 * f.other),
                     "holds" if f.holds(rounds) else "MISSED"])
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print("\n## verdict")
    for i, row in enumerate(rows):
        print("| " + " | ".join(cell.ljust(width[j]) for j, cell in enumerate(row)) + " |")
        if i == 0:
            print("|" + "|".join("-" * (w + 2) for w in width) + "|")
    if any(f.other > 0.3 for f in findings):
        print("Other programs took more than 30 % of a core: repeat this on a quieter machine before believing it.")


def main() -> None:
    scenarios = list(dict.fromkeys(p.scenario for p in PROMISES))
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--only", default=",".join(scenarios), help="scenarios, comma separated: " + ", ".join(scenarios))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--secs", type=float, default=5.0, help="length of each measured phase")
    ap.add_argument("--mode", default="ee", choices=["classic", "dd", "ee"])
    ap.add_argument("--control", action="store_true", help="measure each base twice; half as long again")
    ap.add_argument("--json", help="where to write the verdict and every run behind it")
    a = ap.parse_args()
    wanted = a.only.split(",")
    if unknown := set(wanted) - set(scenarios):
        sys.exit(f"unknown scenario {', '.join(sorted(unknown))}")
    if why := proxies.PROXIES["ours"].missing():
        sys.exit(why)
    bench.enter_netns(__file__)

    promises = [p for p in PROMISES if p.scenario in wanted]
    runs, findings = [], []
    for base in dict.fromkeys(p.base for p in promises if p.scenario != "start"):
        mine = [p for p in promises if p.base == base and p.scenario != "start"]
        runs.append(load(base, list(dict.fromkeys(p.scenario for p in mine)), a))
        findings += [find(p, runs[-1]) for p in mine]
    starts = start_up(a.rounds) if "start" in wanted else []
    findings += [Finding(p, m := statistics.median(starts), m, None, len(starts), 0, 0.0) for p in promises if p.scenario == "start"]

    print_verdict(findings, a.rounds)
    good = all(f.holds(a.rounds) for f in findings)
    if a.json:
        meta = {"python": platform.python_version(), "trio": version("trio"), "cryptography": version("cryptography"),
                "command": proxies.OURS, "rounds": a.rounds, "secs": a.secs, "mode": a.mode}
        verdict = [{**asdict(f), "holds": f.holds(a.rounds)} for f in findings]
        Path(a.json).write_text(json.dumps({"meta": meta, "holds": good, "verdict": verdict, "starts": starts, "runs": runs}, indent=1) + "\n")
        print(f"\nwritten: {a.json}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
