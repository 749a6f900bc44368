"""Every table in one place, for migrations and tests: importing this module fills `metadata`."""

from sqlmodel import SQLModel

import backend.audit.tables
import backend.benchmarks.tables
import backend.budgets.tables
import backend.catalog.tables
import backend.credentials.tables
import backend.gateway.cache.tables
import backend.gateway.replay.tables
import backend.gateway.responses_api.tables
import backend.identity.tables
import backend.jobs.tables
import backend.kernel.db
import backend.limits.tables
import backend.metering.rollups.tables
import backend.metering.tables
import backend.pricing.tables
import backend.providers.tables
import backend.routing.tables  # noqa: F401

metadata = SQLModel.metadata
