"""What matching reads of the catalog's tables that lists in memory do not hold."""

from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from backend.kernel.db import Json

_ROWS = 500
_MODEL = sa.table("model", sa.column("id"), sa.column("languages", Json), sa.column("capabilities_denied", Json), sa.column("licence"))
_OFFER = sa.table(
    "offer", sa.column("id"), sa.column("region"), sa.column("context_tokens"), sa.column("capabilities", Json),
    sa.column("modalities_in", Json),
)  # fmt: skip


async def models(session: AsyncSession) -> AsyncIterator[Any]:
    """`id, languages, capabilities_denied, licence` of every model."""
    result = await session.stream(sa.select(_MODEL), execution_options={"yield_per": _ROWS})
    async for rows in result.partitions():
        for row in rows:
            yield row


async def offers(session: AsyncSession) -> AsyncIterator[Any]:
    """`id, region, context_tokens, capabilities, modalities_in` of every offer."""
    result = await session.stream(sa.select(_OFFER), execution_options={"yield_per": _ROWS})
    async for rows in result.partitions():
        for row in rows:
            yield row
