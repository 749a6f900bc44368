"""Every table in one place, for migrations and tests: importing this module fills `metadata`."""

import backend.audit.tables
import backend.budgets.tables
import backend.catalog.tables
import backend.identity.tables
import backend.limits.tables
import backend.metering.tables
import backend.pricing.tables  # noqa: F401
from backend.kernel.db import SQLModel

metadata = SQLModel.metadata
