from itertools import product

from backend.pricing.tiers import BASE, Tier, compact_count


def test_the_base_price_has_an_empty_tier() -> None:
    assert (BASE.text, BASE.label) == ("", "")


def test_a_label_says_the_conditions_in_words() -> None:
    tier = Tier(context_above=272_000, service_tier="batch", cache_ttl=3600, region="eu")
    assert tier.label == "above 272k tokens, batch, region eu, kept 1 h"
    assert Tier(cache_ttl=300).label == "kept 5 min"


def test_different_conditions_never_share_a_text() -> None:
    tiers = [
        Tier(*values)
        for values in product((None, 0, 200_000), (None, "batch"), (None, "00:00-01:00"), (None, "eu"), (None, 3600), (None, "hd"))
    ]
    assert len({tier.text for tier in tiers}) == len(tiers)


def test_counts_are_short_and_true() -> None:
    assert [compact_count(n) for n in (0, 999, 1000, 4096, 128_000, 199_999, 1_000_000, 1_048_576)] == [
        "0", "999", "1k", "4.1k", "128k", "200k", "1M", "1.05M",
    ]  # fmt: skip
