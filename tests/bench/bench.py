#!/usr/bin/env python3
"""Interleaved load benchmark of MTProxy servers on loopback.

    python3 bench.py --proxy A[,B..] --scenario S[,S..] --rounds R --json out.json

Everything runs in a network namespace of its own that has nothing but `lo`, so that no packet can
leave the machine. The proxy under test is pinned to one core, load generator, fake datacenter and
this driver to the other. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import proxies as defs

HERE = Path(__file__).resolve().parent
LOADGEN = HERE / "build/loadgen"
FAKEDC = HERE / "build/fakedc"
HZ = os.sysconf("SC_CLK_TCK")
PORT, DC, SOCKS, MIDDLE, MASK = 20080, 20443, 20444, 20445, 20446


# ---------------------------------------------------------------- process tree accounting


def tree(root: int) -> list[int]:
    out, todo = [], [root]
    while todo:
        pid = todo.pop()
        try:
            for t in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{t}/children") as f:
                    todo += map(int, f.read().split())
            out.append(pid)
        except OSError:
            pass
    return out


class Cpu:
    """CPU time of a process tree: nanoseconds of live threads, clock ticks of everything."""

    def __init__(self, root: int):
        self.ticks = 0
        self.threads: dict[tuple[int, int], tuple[int, int]] = {}
        self.user = self.sys = 0
        for pid in tree(root):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    v = f.read().rsplit(")", 1)[1].split()
                ut, st, cut, cst = (int(x) for x in v[11:15])
                self.user += ut + cut
                self.sys += st + cst
                self.ticks += ut + st + cut + cst
                for t in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{t}/schedstat") as f:
                        a, b, _ = f.read().split()
                    self.threads[pid, int(t)] = int(a), int(b)
            except OSError:
                pass

    def since(self, old: "Cpu") -> dict[str, float]:
        ticks = (self.ticks - old.ticks) / HZ
        cpu = sum(v[0] for v in self.threads.values()) - sum(v[0] for v in old.threads.values())
        wait = sum(v[1] for v in self.threads.values()) - sum(v[1] for v in old.threads.values())
        exact = old.threads.keys() <= self.threads.keys()
        u, s = self.user - old.user, self.sys - old.sys
        return {
            "cpu_s": cpu / 1e9 if exact else ticks,
            "cpu_ticks_s": ticks,
            "sys_share": s / (u + s) if u + s else 0.0,
            "wait_s": wait / 1e9 if exact else 0.0,
        }


def memory(root: int) -> dict[str, int]:
    tot = {"Rss": 0, "Pss": 0, "Pss_Anon": 0}
    for pid in tree(root):
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                for line in f:
                    k = line.split(":")[0]
                    if k in tot:
                        tot[k] += int(line.split()[1])
        except OSError:
            pass
    return tot


def host_busy() -> tuple[int, int, int]:
    """Ticks of all cores: busy, steal, total."""
    with open("/proc/stat") as f:
        v = list(map(int, f.readline().split()[1:9]))
    return sum(v) - v[3] - v[4], v[7], sum(v)


def wait_quiet(limit: float) -> None:
    """Waits until other programs leave the machine alone, at most `limit` seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        a = host_busy()
        time.sleep(0.3)
        b = host_busy()
        if (b[0] - a[0]) / max(1, b[2] - a[2]) < 0.08:
            return


# ---------------------------------------------------------------- child programs


def pinned(cpu: int | None, argv: list[str]) -> list[str]:
    return argv if cpu is None else ["taskset", "-c", str(cpu), *argv]


class Gen:
    """One load generator and its READY / go / DONE dialogue."""

    def __init__(self, args: argparse.Namespace, opts: list[str]):
        self.p = subprocess.Popen(
            pinned(args.load_cpu, [str(LOADGEN), *opts]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self.buf = b""
        self.opts = opts

    def line(self, timeout: float) -> str:
        end = time.monotonic() + timeout
        while b"\n" not in self.buf:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.p.stdout], [], [], left)[0]:
                raise RuntimeError(f"load generator silent: {' '.join(self.opts)}")
            d = os.read(self.p.stdout.fileno(), 65536)
            if not d:
                raise RuntimeError(f"load generator exited {self.p.wait()}: {' '.join(self.opts)}")
            self.buf += d
        out, self.buf = self.buf.split(b"\n", 1)
        return out.decode()

    def ready(self, timeout: float = 60) -> dict:
        w, j = self.line(timeout).split(" ", 1)
        if w != "READY":
            raise RuntimeError(f"load generator: {w} {j}")
        return json.loads(j)

    def go(self) -> None:
        self.p.stdin.write(b"\n")

    def done(self, timeout: float = 120) -> dict:
        w, j = self.line(timeout).split(" ", 1)
        if w != "DONE":
            raise RuntimeError(f"load generator: {w} {j}")
        return json.loads(j)

    def close(self) -> None:
        try:
            self.p.stdin.close()
        except OSError:
            pass
        try:
            self.p.wait(5)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()


def stop_tree(p: subprocess.Popen) -> None:
    pids = tree(p.pid)
    for sig in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, sig)
            except OSError:
                pass
        try:
            p.wait(2)
        except subprocess.TimeoutExpired:
            continue
        time.sleep(0.05)
        pids = [x for x in pids if x != p.pid and os.path.exists(f"/proc/{x}")]
        if not pids:
            return


class Bed:
    """A running fake datacenter plus one proxy."""

    def __init__(self, args: argparse.Namespace, proxy: defs.Proxy, mode: str, nusers: int):
        self.args, self.proxy = args, proxy
        self.dir = Path(tempfile.mkdtemp(prefix="mtpbench-"))
        rng = random.Random(7)
        n = min(nusers, proxy.max_users)
        self.users = {f"user{i}": "%032x" % rng.getrandbits(128) for i in range(n)}
        self.nusers = n
        secret = self.dir / "proxy-secret"
        secret.write_bytes(rng.randbytes(128))
        self.secrets = self.dir / "secrets"
        self.secrets.write_text("\n".join(self.users.values()) + "\n")
        self.mode = proxy.client_mode or mode
        self.fake = subprocess.Popen(
            pinned(args.load_cpu, [str(FAKEDC), "--dc", str(DC), "--socks", str(SOCKS), "--proxy-secret", str(secret),
                                   "--middle", str(MIDDLE), "--echo", str(MASK), "--echo", "443"]),
            stdout=subprocess.PIPE, text=True,
        )
        assert self.fake.stdout.readline() == "READY\n"
        self.ctx = defs.Ctx(self.dir, PORT, DC, SOCKS, MIDDLE, MASK, secret, self.users, proxy.domain, mode)
        self.port = proxy.target_port(self.ctx)
        self.log = open(self.dir / "log", "wb")
        ln = proxy.launch(self.ctx)
        self.p = subprocess.Popen(
            pinned(args.proxy_cpu, ln.argv), env={**os.environ, **ln.env}, cwd=ln.cwd,
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
        )
        try:
            self.wait_ready()
        except BaseException:
            self.close(keep=True)
            raise

    def wait_ready(self) -> None:
        end = time.monotonic() + self.args.start_timeout
        while True:
            if self.p.poll() is not None:
                raise RuntimeError(f"{self.proxy.name} exited {self.p.returncode}, log {self.dir}/log")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise RuntimeError(f"{self.proxy.name} does not listen, log {self.dir}/log") from None
                time.sleep(0.05)
        time.sleep(self.proxy.settle_s)
        while True:
            r = self.gen("hs", "--count", "20", "--workers", "4", "--secs", "10", "--timeout-ms", "3000")
            ok, res = r["up"] == 20, r
            if ok:
                break
            if time.monotonic() > end:
                raise RuntimeError(f"{self.proxy.name} refuses handshakes: {res}, log {self.dir}/log")
            time.sleep(0.3)
        time.sleep(0.3)

    def opts(self, scenario: str, *more: str) -> list[str]:
        o = ["--scenario", scenario, "--port", str(self.port), "--mode", self.mode, "--secrets", str(self.secrets),
             "--domain", self.proxy.domain, "--tls-rec", str(self.args.tls_rec)]
        if self.args.proto:
            o += ["--proto", self.args.proto]
        return o + list(more)

    def start(self, scenario: str, *more: str) -> Gen:
        return Gen(self.args, self.opts(scenario, *more))

    def gen(self, scenario: str, *more: str) -> dict:
        g = self.start(scenario, *more)
        try:
            g.ready()
            g.go()
            return g.done()
        finally:
            g.close()

    def cpu(self) -> Cpu:
        return Cpu(self.p.pid)

    def measure(self, g: Gen, settle: float = 0.0) -> dict:
        """Runs a ready generator; adds the proxy's CPU time and what else happened on the host."""
        harness0 = Cpu(self.fake.pid), Cpu(g.p.pid)
        host0, c0 = host_busy(), self.cpu()
        g.go()
        r = g.done()
        if settle:
            time.sleep(settle)
        c1, host1 = self.cpu(), host_busy()
        harness1 = Cpu(self.fake.pid), Cpu(g.p.pid)
        r.update(c1.since(c0))
        r["harness_cpu_s"] = sum(b.since(a)["cpu_s"] for a, b in zip(harness0, harness1))
        r["other_cpu_s"] = max(0.0, (host1[0] - host0[0]) / HZ - r["cpu_s"] - r["harness_cpu_s"])
        r["steal_s"] = (host1[1] - host0[1]) / HZ
        r["errors"] = sum(v for k, v in r.items() if k.startswith("err_"))
        return r

    def close(self, keep: bool = False) -> dict:
        stop_tree(self.p)
        self.log.close()
        self.fake.send_signal(signal.SIGTERM)
        out = self.fake.communicate(timeout=10)[0]
        if not keep and not self.args.keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        try:
            return json.loads(out.strip().splitlines()[-1])
        except (ValueError, IndexError):
            return {}


# ---------------------------------------------------------------- scenarios


def bulk(direction: str):
    def run(bed: Bed, a: argparse.Namespace) -> dict:
        g = bed.start(direction, "--conns", str(a.conns), "--secs", str(a.secs), "--part", str(a.part), "--window", str(a.window))
        try:
            g.ready()
            r = bed.measure(g)
        finally:
            g.close()
        gb = r["bytes"] / 1e9
        r["mb_s"] = r["bytes"] / 1e6 / r["wall"]
        r["cpu_s_per_gb"] = r["cpu_s"] / gb if gb else float("nan")
        r["cpu_util"] = r["cpu_s"] / r["wall"]
        r["mem"] = memory(bed.p.pid)
        r["pss_mb"] = r["mem"]["Pss"] / 1024
        return r

    return run


def handshakes(bed: Bed, a: argparse.Namespace) -> dict:
    g = bed.start("hs", "--workers", str(a.workers), "--secs", str(a.secs))
    try:
        g.ready()
        r = bed.measure(g, settle=0.5)
    finally:
        g.close()
    n = r["up"]
    r["hs_s"] = n / r["wall"]
    r["cpu_ms_per_hs"] = r["cpu_s"] * 1e3 / n if n else float("nan")
    return r


def returning(bed: Bed, a: argparse.Namespace) -> dict:
    """Clients come back from 500 addresses, each with its own secret, after one visit each."""
    bed.gen("hs", "--count", "500", "--workers", "8", "--secs", "60", "--src-spread", "500")
    g = bed.start("hs", "--workers", str(a.workers), "--secs", str(a.secs), "--src-spread", "500")
    try:
        g.ready()
        r = bed.measure(g, settle=0.5)
    finally:
        g.close()
    n = r["up"]
    r["hs_s"] = n / r["wall"]
    r["cpu_ms_per_hs"] = r["cpu_s"] * 1e3 / n if n else float("nan")
    return r


def idle(n: int):
    def run(bed: Bed, a: argparse.Namespace) -> dict:
        base = memory(bed.p.pid)
        g = bed.start("idle", "--conns", str(n), "--warm", str(a.warm), "--max-secs", "150")
        try:
            rd = g.ready(120)
            time.sleep(1.0)
            held = memory(bed.p.pid)
            c0 = bed.cpu()
            time.sleep(a.hold)
            idle_cpu = bed.cpu().since(c0)["cpu_s"]
            g.go()
            r = g.done()
            time.sleep(1.0)
            warm = memory(bed.p.pid)
        finally:
            g.close()
        time.sleep(2.0)
        after = memory(bed.p.pid)
        up = rd["up"] or 1
        r["open_failed"] = rd["failed"]
        r["errors"] = rd["failed"] + sum(v for k, v in r.items() if k.startswith("err_"))
        r["up"] = rd["up"]
        r["open_s"] = rd["open_s"]
        r["base_pss_mb"] = base["Pss"] / 1024
        r["pss_kb_per_conn"] = (held["Pss"] - base["Pss"]) / up
        r["rss_kb_per_conn"] = (held["Rss"] - base["Rss"]) / up
        r["warm_pss_kb_per_conn"] = (warm["Pss"] - base["Pss"]) / up
        r["after_pss_mb"] = after["Pss"] / 1024
        r["idle_cpu_ms_per_s"] = idle_cpu * 1e3 / a.hold
        return r

    return run


def ping(loaded: bool):
    def run(bed: Bed, a: argparse.Namespace) -> dict:
        bg = None
        if loaded:
            bg = bed.start("bg", "--conns", "4", "--part", "131072", "--mbps", str(a.mbps))
            bg.ready()
            bg.go()
            time.sleep(0.3)
        g = bed.start("ping", "--conns", str(a.ping_conns), "--size", "80", "--think-us", str(a.think_us), "--secs", str(a.secs))
        try:
            g.ready()
            r = bed.measure(g)
        finally:
            g.close()
            if bg:
                bg.go()
                r["bg_mb_s"] = (b := bg.done())["bytes"] / 1e6 / b["wall"]
                bg.go()
                bg.close()
        r["cpu_us_per_msg"] = r["cpu_s"] * 1e6 / r["msgs"] if r["msgs"] else float("nan")
        return r

    return run


def messages(bed: Bed, a: argparse.Namespace) -> dict:
    g = bed.start("ping", "--conns", "32", "--size", "80", "--think-us", "0", "--secs", str(a.secs))
    try:
        g.ready()
        r = bed.measure(g)
    finally:
        g.close()
    r["msgs_s"] = r["msgs"] / r["wall"]
    r["cpu_us_per_msg"] = r["cpu_s"] * 1e6 / r["msgs"] if r["msgs"] else float("nan")
    return r


def flood(kind: str, spread: int = 0):
    """Strangers from one address, or from as many as `spread` says (so that no address is seen twice)."""

    def run(bed: Bed, a: argparse.Namespace) -> dict:
        more = ["--src-spread", str(spread)] if spread else []
        g = bed.start("flood", "--kind", kind, "--workers", "32", "--secs", str(a.secs), "--timeout-ms", "1000", *more)
        try:
            g.ready()
            r = bed.measure(g, settle=0.5)
        finally:
            g.close()
        r["probes_s"] = r["completed"] / r["wall"]
        r["cpu_ms_per_probe"] = r["cpu_s"] * 1e3 / r["completed"] if r["completed"] else float("nan")
        r["masked_share"] = r["answered"] / r["completed"] if r["completed"] else 0
        return r

    return run


def flood_ping(bed: Bed, a: argparse.Namespace) -> dict:
    fl = bed.start("flood", "--kind", "mix", "--workers", "256", "--rate", str(a.flood_rate), "--secs", str(a.secs + 1), "--timeout-ms", "1000")
    fl.ready()
    g = bed.start("ping", "--conns", str(a.ping_conns), "--size", "80", "--think-us", str(a.think_us), "--secs", str(a.secs))
    try:
        g.ready()
        fl.go()
        time.sleep(0.3)
        r = bed.measure(g)
        f = fl.done()
    finally:
        g.close()
        fl.close()
    r["cpu_us_per_msg"] = r["cpu_s"] * 1e6 / r["msgs"] if r["msgs"] else float("nan")  # includes the flood
    r["flood_rate"] = f["completed"] / f["wall"]
    r["flood_answered"] = f["answered"] / max(1, f["completed"])
    return r


# (function, number of users, [(metric, label, format, lower is better)])
BULK = [("cpu_s_per_gb", "CPU s/GB", "%.3f", True), ("mb_s", "MB/s", "%.0f", False), ("pss_mb", "PSS MB", "%.1f", True)]
HS = [("cpu_ms_per_hs", "CPU ms/hs", "%.3f", True), ("hs_s", "hs/s", "%.0f", False), ("p50_us", "p50 us", "%.0f", True)]
IDLE = [("pss_kb_per_conn", "PSS KB/conn", "%.2f", True), ("warm_pss_kb_per_conn", "after 64 KiB", "%.2f", True),
        ("base_pss_mb", "base MB", "%.1f", True), ("after_pss_mb", "closed MB", "%.1f", True), ("idle_cpu_ms_per_s", "idle CPU ms/s", "%.2f", True)]
PING = [("p50_us", "p50 us", "%.0f", True), ("p95_us", "p95 us", "%.0f", True), ("p99_us", "p99 us", "%.0f", True), ("cpu_us_per_msg", "CPU us/msg", "%.1f", True)]
MSGS = [("cpu_us_per_msg", "CPU us/msg", "%.1f", True), ("msgs_s", "msg/s", "%.0f", False)]
FLOOD = [("cpu_ms_per_probe", "CPU ms/probe", "%.3f", True), ("probes_s", "probes/s", "%.0f", False), ("masked_share", "answered", "%.2f", False)]

SCENARIOS = {
    "down": (bulk("down"), 1, BULK),
    "up": (bulk("up"), 1, BULK),
    "hs": (handshakes, 1, HS),
    "users100": (handshakes, 100, HS),
    "users1000": (handshakes, 1000, HS),
    "users10000": (handshakes, 10000, HS),
    "returning": (returning, 10000, HS),
    "idle2000": (idle(2000), 1, IDLE),
    "idle5000": (idle(5000), 1, IDLE),
    "ping": (ping(False), 1, PING),
    "ping_bg": (ping(True), 1, PING),
    "msgs": (messages, 1, MSGS),
    "flood_tls": (flood("tls"), 1, FLOOD),
    "flood_spread": (flood("tls", 60000), 1, FLOOD),
    "flood_spread100": (flood("tls", 60000), 100, FLOOD),
    "flood_garbage": (flood("garbage"), 1, FLOOD),
    "flood_users100": (flood("mix"), 100, FLOOD),
    "flood_ping": (flood_ping, 1, PING),
}
GROUPS = {
    "quick": ["down", "up", "hs", "ping", "msgs", "idle2000"],
    "all": list(SCENARIOS),
}


# ---------------------------------------------------------------- driver


def median(v: list[float]) -> float:
    v = [x for x in v if x == x]
    return statistics.median(v) if v else float("nan")


def summarise(runs: list[dict], names: list[str], scenarios: list[str]) -> dict:
    """Per scenario and proxy: medians, best round, and the median over rounds of the ratio to the base."""
    out: dict = {}
    for s in scenarios:
        cols = SCENARIOS[s][2]
        got = {(r["proxy"], r["round"]): r["m"] for r in runs if r["scenario"] == s and "m" in r}
        base = next((n for n in names if any(k[0] == n for k in got)), None)
        for n in names:
            rs = [m for (p, _), m in got.items() if p == n]
            if rs:
                d: dict = {k: median([r.get(k, float("nan")) for r in rs]) for k, *_ in cols}
                d["best"] = {k: (min if low else max)(r.get(k, float("nan")) for r in rs) for k, _, _, low in cols}
                d["ratio"] = {
                    k: median([m[k] / got[base, i][k] for (p, i), m in got.items() if p == n and (base, i) in got and got[base, i].get(k)])
                    for k, *_ in cols
                }
                d["rounds"] = len(rs)
                d["errors"] = sum(r.get("errors", 0) for r in rs)
                d["other_cpu_share"] = median([r.get("other_cpu_s", 0) / r["wall"] if r.get("wall") else 0 for r in rs])
                out.setdefault(s, {})[n] = d
    return out


def print_tables(summary: dict, names: list[str], mode: str) -> None:
    for s, per in summary.items():
        cols = SCENARIOS[s][2]
        base = next((n for n in names if n in per), None)
        print(f"\n## {s}  (mode {mode}; medians; x = median over rounds of the ratio to {base})")
        head = ["proxy"] + [x for _, label, *_ in cols for x in (label, "x")] + ["errors", "other"]
        rows = [head]
        for n in names:
            if n not in per:
                continue
            row = [n]
            for k, _, fmt, _ in cols:
                x = per[n]["ratio"][k]
                row += [fmt % per[n][k], "%.2f" % x if x == x else "-"]
            rows.append(row + [str(per[n]["errors"]), "%.0f%%" % (100 * per[n]["other_cpu_share"])])
        w = [max(len(r[i]) for r in rows) for i in range(len(head))]
        for i, r in enumerate(rows):
            print("| " + " | ".join(x.ljust(w[j]) if j == 0 else x.rjust(w[j]) for j, x in enumerate(r)) + " |")
            if i == 0:
                print("|" + "|".join("-" * (x + 2) for x in w) + "|")
    sys.stdout.flush()


def enter_netns(script: str = __file__) -> None:
    """Re-executes `script` in a network namespace whose only interface is lo."""
    if os.environ.get("BENCH_NETNS") == "1":
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if os.geteuid() != 0:
        sys.exit("the bench needs root for a private network namespace (unshare -n); run it as root, or under `unshare -rn`")
    os.environ["BENCH_NETNS"] = "1"
    os.execvp("unshare", ["unshare", "-n", "--", sys.executable, str(Path(script).resolve()), *sys.argv[1:]])


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--proxy", help="names, comma separated; the first is the base of the ratios")
    ap.add_argument("--scenario", default="quick", help="names, comma separated, or quick / all")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--json", help="where to write all runs and the summary")
    ap.add_argument("--mode", default="ee", choices=["classic", "dd", "ee"])
    ap.add_argument("--proto", choices=["abridged", "intermediate", "padded"], help="transport tag; default by mode")
    ap.add_argument("--secs", type=float, default=3.0, help="length of each measured phase")
    ap.add_argument("--conns", type=int, default=8, help="bulk connections")
    ap.add_argument("--part", type=int, default=262144, help="bytes of one bulk request")
    ap.add_argument("--window", type=int, default=4, help="bulk requests in flight per connection")
    ap.add_argument("--workers", type=int, default=16, help="concurrent handshakes")
    ap.add_argument("--tls-rec", type=int, default=2878, help="client TLS record payload; Telegram clients use 2878")
    ap.add_argument("--ping-conns", type=int, default=16)
    ap.add_argument("--think-us", type=int, default=10000)
    ap.add_argument("--mbps", type=float, default=30.0, help="background load of ping_bg, MB/s")
    ap.add_argument("--flood-rate", type=float, default=200.0)
    ap.add_argument("--warm", type=int, default=65536, help="idle: bytes each held connection downloads before the second reading")
    ap.add_argument("--hold", type=float, default=3.0, help="idle: seconds held for the idle CPU reading")
    ap.add_argument("--proxy-cpu", type=int, default=0)
    ap.add_argument("--load-cpu", type=int, default=1)
    ap.add_argument("--quiet", type=float, default=10.0, help="wait at most this long for other programs to rest before each run")
    ap.add_argument("--start-timeout", type=float, default=20.0)
    ap.add_argument("--keep", action="store_true", help="keep temporary folders with configs and proxy logs")
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    if a.list or not a.proxy:
        for n, p in defs.PROXIES.items():
            print(f"{n:28} modes {','.join(p.modes):15} upstream {p.upstream:7} {p.missing() or 'available'}")
        print("scenarios:", ", ".join(SCENARIOS), "| groups:", ", ".join(GROUPS))
        return
    enter_netns()
    for lim in (200_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (lim, lim))
            break
        except (ValueError, OSError):
            continue
    if not LOADGEN.exists() or not FAKEDC.exists():
        subprocess.run(["make", "-s", "-C", str(HERE)], check=True)
    os.sched_setaffinity(0, {a.load_cpu})
    names = [n for n in a.proxy.split(",") if n]
    for n in list(names):
        if n not in defs.PROXIES:
            sys.exit(f"unknown proxy {n}; --list shows them")
        why = defs.PROXIES[n].missing()
        if not why and a.mode not in defs.PROXIES[n].modes:
            why = f"no mode {a.mode}"
        if why:
            print(f"skip {n}: {why}")
            names.remove(n)
    for route in {r for n in names for r in defs.PROXIES[n].netns_routes}:
        subprocess.run(["ip", "route", "replace", route, "dev", "lo", "src", "127.0.0.1"], check=True)
    scen: list[str] = []
    for s in a.scenario.split(","):
        scen += GROUPS.get(s, [s])
    for s in scen:
        if s not in SCENARIOS:
            sys.exit(f"unknown scenario {s}")
    meta = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "cpu": next((x.split(":")[1].strip() for x in open("/proc/cpuinfo") if x.startswith("model name")), "?"),
        "args": vars(a),
    }
    runs: list[dict] = []

    def save() -> dict:
        summary = summarise(runs, names, scen)
        if a.json:
            tmp = Path(a.json + ".tmp")
            tmp.write_text(json.dumps({"meta": meta, "summary": summary, "runs": runs}, indent=1) + "\n")
            tmp.replace(a.json)
        return summary

    for s in scen:
        fn, nusers, _ = SCENARIOS[s]
        for rnd in range(a.rounds):
            order = names if rnd % 2 == 0 else names[::-1]
            for n in order:
                rec: dict = {"proxy": n, "scenario": s, "round": rnd}
                proxy = defs.PROXIES[n]
                if nusers > proxy.max_users:
                    continue
                bed = None
                wait_quiet(a.quiet)
                try:
                    bed = Bed(a, proxy, a.mode, nusers)
                    rec["m"] = fn(bed, a)
                except Exception as e:
                    rec["error"] = f"{type(e).__name__}: {e}"
                    print(f"! {s} {n} round {rnd}: {rec['error']}", flush=True)
                finally:
                    if bed:
                        rec["dc"] = bed.close()
                runs.append(rec)
                if "m" in rec:
                    k, label, fmt, _ = SCENARIOS[s][2][0]
                    m = rec["m"]
                    extra = f" ERRORS {m['errors']}" if m.get("errors") else ""
                    bad = rec["dc"].get("bad_msgs", 0) + rec["dc"].get("errors", 0)
                    extra += f" DC-ERRORS {bad}" if bad else ""
                    cols = "  ".join(f"{lb} {ft % m[kk]}" for kk, lb, ft, _ in SCENARIOS[s][2])
                    print(f"{s:14} r{rnd} {n:24} {cols}  other {m.get('other_cpu_s', 0):.2f}s{extra}", flush=True)
                save()
    summary = save()
    print_tables(summary, names, a.mode)
    if a.json:
        print(f"\nwritten: {a.json}")


if __name__ == "__main__":
    main()
