"""What could be taken instead, as a model's page lists it."""

from typing import Any

from state.instead import InsteadLine, instead_groups


def suggestion(percent: float | None, **more: Any) -> dict[str, Any]:
    return {
        "offer": {"id": "acme/b", "provider": "acme"},
        "explanation": "Half the cost.",
        "costDelta": None if percent is None else {"percent": percent},
        "latencyDeltaMs": None,
    } | more


def test_models_are_linked_and_sellers_are_named() -> None:
    body = {
        "cheaperButSimilar": {
            "items": [suggestion(-50.4, modelId="b", name="B", latencyDeltaMs=-120.4), *[suggestion(None, modelId="c", name="C")] * 5],
            "reason": None,
        },
        "betterForTheSameMoney": {"items": [], "reason": "nothing is better"},
        "sameModelCheaperOffer": {"items": [suggestion(-10.0, serviceTier="batch")], "reason": None},
    }
    similar, better, offers = instead_groups(body, {"acme": "Acme"})
    assert similar.lines[0] == InsteadLine(
        "b acme/b ", "B", "/models/b", "Half the cost. Measured here: 120 ms sooner.", "−50 %", cheaper=True
    )
    assert len(similar.lines) == 3
    assert similar.lines[1].change == ""
    assert (better.lines, better.reason) == ([], "Nothing is better.")
    assert (offers.lines[0].name, offers.lines[0].href) == ("Acme, batch", "")
