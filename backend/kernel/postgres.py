"""PostgreSQL's connection as we use it; loaded only where there is one, because the driver costs every other process its memory."""

from contextlib import suppress
from typing import Any

import psycopg

CANCEL_SECONDS = 0.25


class Connection(psycopg.AsyncConnection[Any]):
    """Gives up quickly. Whoever stops waiting for a query has the server asked to cancel it; one that does not answer loses the
    connection, where the driver would wait another ten seconds for it."""

    async def cancel_safe(self, *, timeout: float = CANCEL_SECONDS) -> None:
        try:
            await super().cancel_safe(timeout=min(timeout, CANCEL_SECONDS))
        except psycopg.Error:
            with suppress(psycopg.Error):
                self.pgconn.finish()
            raise
