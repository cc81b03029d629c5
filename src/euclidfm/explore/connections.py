"""Connections that send slowly: each has a limited time for a request, so that they can't pile up."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEADER_SECONDS", "TimedProtocol"]

HEADER_SECONDS = 10.0
"""Seconds in which the headers of a request must arrive. `Guard` limits the time of the body."""


class TimedProtocol(H11Protocol):
    """HTTP protocol of uvicorn that closes a connection whose next request does not begin in time."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the time."""
        super().connection_made(transport)
        self._update()

    def data_received(self, data: bytes) -> None:
        """Stop the time when the headers are complete; start it when another request begins."""
        super().data_received(data)
        self._update()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        if self._limit is not None:
            self._limit.cancel()
        super().connection_lost(exc)

    def _update(self) -> None:
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self._limit is None:
            self._limit = self.loop.call_later(HEADER_SECONDS, self.transport.close)
        elif not waiting and self._limit is not None:
            self._limit.cancel()
            self._limit = None
