"""What operators changed about providers. The configuration file says the rest."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from backend.kernel.db import Json, UtcDateTime


class ProviderEdit(SQLModel, table=True):
    """At most one per provider. A provider that the file does not have is made of this alone. Holds no secret: keys are `provider_key`."""

    __tablename__ = "provider_edit"
    name: str = Field(primary_key=True, max_length=63)
    fields: dict[str, Any] = Field(
        sa_type=Json, description="only what was edited, as in the file; nested sections hold only their edited parts"
    )
    created_at: datetime = Field(sa_type=UtcDateTime)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    updated_by: str = Field(max_length=40)
