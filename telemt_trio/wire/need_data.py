"""What an incremental parser answers while the bytes it holds do not yet make an event."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["NEED_DATA", "NeedData"]


class NeedData(enum.Enum):
    """The type of :data:`NEED_DATA`, an enumeration of one so that type checkers can narrow on ``is NEED_DATA``."""

    NEED_DATA = enum.auto()


NEED_DATA: Final = NeedData.NEED_DATA
