"""Histograms of milliseconds that can be added up: fixed buckets, eight to each doubling, so that merging parts gives exactly the whole.

Bucket 0 holds 0 ms, bucket k holds 2^((k-1)/8) ≤ ms < 2^(k/8). A quantile is the geometric middle of the bucket that its rank falls into:
off by at most 2^(1/16) - 1 = 4.4 % of the value, and exact below 12 ms, where a bucket holds one whole number. From 70 minutes on (2^22
ms) all is one bucket. Kept as a flat list `[bucket, calls, bucket, calls, …]`, because most rows have few.
"""

import math
from collections.abc import Iterable, Mapping
from itertools import chain

import orjson

RELATIVE_ERROR = 2 ** (1 / 16) - 1
Histogram = dict[int, int]
"""Calls by bucket."""

_LONGEST = 2**22


def bucket_of(milliseconds: int) -> int:
    """Whole numbers only, so every machine agrees: bit_length(v^8) - 1 is floor(8 log2 v)."""
    return _BUCKETS[milliseconds] if 0 <= milliseconds < _KNOWN else (min(max(milliseconds, 0), _LONGEST) ** 8).bit_length()


_KNOWN = 8192
_BUCKETS = tuple([(value**8).bit_length() for value in range(_KNOWN)])


def count(histogram: Histogram, values: Iterable[int]) -> None:
    for value in values:
        bucket = bucket_of(value)
        histogram[bucket] = histogram.get(bucket, 0) + 1


def merge(into: Histogram, other: Mapping[int, int]) -> None:
    for bucket, calls in other.items():
        into[bucket] = into.get(bucket, 0) + calls


def encoded(histogram: Mapping[int, int]) -> str:
    return orjson.dumps(list(chain.from_iterable(histogram.items()))).decode() if histogram else "[]"


def merge_encoded(into: Histogram, text: str) -> None:
    """Add what `encoded` wrote."""
    if text != "[]":
        flat = iter(orjson.loads(text))
        for bucket in flat:
            into[bucket] = into.get(bucket, 0) + next(flat)


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """The value in milliseconds that a share (0 to 1) of all calls do not exceed; None where nothing was measured."""
    total = sum(histogram.values())
    if total <= 0:
        return None
    rank = max(1, math.ceil(share * total))
    for bucket, calls in sorted(histogram.items()):
        rank -= calls
        if rank <= 0:
            return _middle(bucket)
    return _middle(max(histogram))


def total_ms(histogram: Mapping[int, int]) -> float:
    """Milliseconds of all calls together; each is off by `RELATIVE_ERROR` at most."""
    return sum(calls * _middle(bucket) for bucket, calls in histogram.items())


def _middle(bucket: int) -> float:
    if bucket == 0:
        return 0.0
    lowest, above = math.ceil(2 ** ((bucket - 1) / 8)), math.ceil(2 ** (bucket / 8))
    return math.sqrt(lowest * max(lowest, above - 1))
