"""What the proxy hands to every connection: settings, shared state, clocks, randomness, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from telemt_trio.clocks import Clocks
    from telemt_trio.events import Observer
    from telemt_trio.net.resolve import Resolver
    from telemt_trio.proxy.settings import Settings
    from telemt_trio.proxy.state import ProxySharedState
    from telemt_trio.relay.end import Ending, Outcome
    from telemt_trio.relay.pipe import Pipe
    from telemt_trio.relay.sweep import Sweep
    from telemt_trio.upstream.upstreams import Upstreams

__all__ = ["Runtime"]


@attrs.define(eq=False)
class Runtime:
    """One per proxy. A connection reads ``settings`` once, when it starts; everything else it shares.

    ``entropy(n)`` gives n bytes for keys and nonces, ``noise(n)`` gives n that only look so, ``rng`` shapes delays
    and choices, ``x25519_public()`` is a fresh public key. ``watch`` ends idle relays, ``mask_watch`` idle strangers.
    ``relay`` drives two pipes without a meter.
    """

    settings: Settings
    state: ProxySharedState
    clocks: Clocks
    entropy: Callable[[int], bytes]
    rng: random.Random
    noise: Callable[[int], bytes]
    x25519_public: Callable[[], bytes]
    emit: Observer
    upstreams: Upstreams
    resolver: Resolver
    watch: Sweep
    mask_watch: Sweep
    relay: Callable[[Pipe, Pipe, Ending], Awaitable[Outcome]]
