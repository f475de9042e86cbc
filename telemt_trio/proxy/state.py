"""What the connections of one proxy share. Flat, without methods, one per proxy: two proxies share nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from telemt_trio.guard.candidates import Candidates
    from telemt_trio.guard.replay import ReplayGuard
    from telemt_trio.guard.users import Users
    from telemt_trio.proxy.sessions import Sessions

__all__ = ["ProxySharedState"]


@attrs.define(eq=False)
class ProxySharedState:
    """The trackers of one proxy. ``users`` is replaced by a reload; everything else lives as long as the proxy.

    ``seen_timeless`` remembers the hellos that no clock outdates: those with an uptime for a time, or all of them where
    the operator ignores clocks.
    """

    users: Users
    candidates: Candidates
    seen_hellos: ReplayGuard
    seen_timeless: ReplayGuard
    seen_nonces: ReplayGuard
    sessions: Sessions
