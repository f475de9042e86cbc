"""The prototypes under a second name: a control that must read 1.00. Loaded through BENCH_MORE."""

import copy

from proxies import PROXIES as _DEFINED


def _again(name):
    proxy = copy.copy(_DEFINED[name])
    proxy.name = f"{name}-again"
    return proxy


PROXIES = {proxy.name: proxy for proxy in map(_again, ("trio-fastll-64k", "trio-ll-64k"))}
