"""What the catalog's answers look like: the seed's names, with more beside them.

Prices are USD per 1M tokens, as JSON numbers where they are exact enough for people and as text in each offer's `prices`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from backend.catalog.languages import language_name
from backend.catalog.schemas import Evidence, ModelDetail, ModelSummary, OfferView, StorePage
from backend.kernel.errors import BadRequest
from backend.kernel.money import usd_from_nano

ROW_FIELDS = (
    "id", "name", "provider", "releaseDate", "deprecated", "status", "mode", "capabilities", "modalities", "modalitiesOut", "languages",
    "contextTokens", "maxOutputTokens", "openWeights", "offers", "providers", "pricingReference", "pricing", "score",
)  # fmt: skip


def chosen_fields(fields: frozenset[str]) -> frozenset[str]:
    """The fields of rows that are asked for; none named means all.

    Raises:
        BadRequest: there is no such field.
    """
    for field in sorted(fields):
        if field not in ROW_FIELDS:
            raise BadRequest(f"There is no field {field[:60]!r}. Known: {', '.join(ROW_FIELDS)}.", param="fields")
    return fields


def page_body(page: StorePage, fields: frozenset[str], evidence: Evidence, cursor: str | None) -> dict[str, Any]:
    rows: Iterable[dict[str, Any]] = (
        summary_body(item, evidence.scores.get(item.id), evidence.languages.get(item.id, ())) for item in page.items
    )
    if fields:
        rows = ({name: row[name] for name in ROW_FIELDS if name in fields} for row in rows)
    return {
        "object": "list",
        "data": list(rows),
        "total": page.total,
        "offset": page.offset,
        "limit": page.limit,
        "has_more": cursor is not None,
        "next_cursor": cursor,
        "headline": page.headline,
        "facets": {
            name: [{"value": value.value, "label": value.label, "count": value.count} for value in values]
            for name, values in page.facets.items()
        },
    }


def summary_body(model: ModelSummary, score: float | None = None, measured: Sequence[str] = ()) -> dict[str, Any]:
    """`measured`: languages of benchmarks, shown where nobody states any."""
    return {
        "id": model.id,
        "name": model.name,
        "provider": model.creator,
        "releaseDate": model.release_date,
        "deprecated": model.status in ("deprecated", "retired"),
        "status": model.status,
        "mode": model.mode,
        "capabilities": list(model.capabilities),
        "modalities": list(model.modalities_in),
        "modalitiesOut": list(model.modalities_out),
        "languages": list(model.languages or measured),
        "contextTokens": model.context_tokens,
        "maxOutputTokens": model.max_output_tokens,
        "openWeights": model.open_weights,
        "offers": model.offers,
        "providers": model.providers,
        "pricingReference": f"/pricing/models/{model.id}",
        "pricing": {
            "state": model.price_state,
            "currency": "USD",
            "unit": "1M tokens",
            "input": _amount(model.input_nano),
            "output": _amount(model.output_nano),
            "offer": model.cheapest_offer,
            "source": model.price_source,
            "asOf": model.price_as_of,
            "doubt": model.price_doubt,
        },
        "score": None if score is None else round(score, 2),
    }


def detail_body(
    detail: ModelDetail, metrics: Sequence[Mapping[str, Any]], measured_languages: Sequence[str], version: int
) -> dict[str, Any]:
    """
    Args:
        metrics: results on benchmarks, with `benchmarkId` and `score`.
        measured_languages: shown, with benchmarks as their source, where nobody states languages.
        version: what a change may name to be made only if nothing else changed meanwhile.
    """
    row = summary_body(detail.summary)
    del row["score"]
    facts = [{"name": fact.name, "value": fact.value, "source": fact.source} for fact in detail.facts]
    languages = list(detail.languages)
    if not languages and measured_languages:
        languages = list(measured_languages)
        facts.append({"name": "languages", "value": ", ".join(language_name(tag) for tag in languages), "source": "benchmarks"})
    return row | {
        "description": detail.description,
        "family": detail.family,
        "licence": detail.licence,
        "maxOutputTokens": detail.max_output_tokens,
        "knowledgeCutoff": detail.knowledge_cutoff,
        "deprecationDate": detail.deprecation_date,
        "supportedFormats": list(detail.supported_formats),
        "languages": languages,
        "metrics": list(metrics),
        "capabilityMatrix": {state.capability: state.supported for state in detail.capability_matrix},
        "facts": facts,
        "aliases": list(detail.aliases),
        "headline": detail.headline,
        "offerList": [offer_body(offer) for offer in detail.offers],
        "updatedAt": detail.updated_at,
        "version": version,
    }


def offer_body(offer: OfferView) -> dict[str, Any]:
    return {
        "id": offer.id,
        "provider": offer.provider_id,
        "providerName": offer.provider_name,
        "upstreamId": offer.upstream_id,
        "region": offer.region,
        "contextTokens": offer.context_tokens,
        "maxOutputTokens": offer.max_output_tokens,
        "status": offer.status,
        "priceState": offer.price_state,
        "input": _amount(offer.input_nano),
        "output": _amount(offer.output_nano),
        "agreement": {"agree": offer.price_agreement, "sources": offer.price_sources},
        "source": offer.price_source,
        "asOf": offer.price_as_of,
        "doubt": offer.doubt,
        "prices": [
            {
                "component": line.component,
                "unit": line.unit,
                "tier": line.tier,
                "usdPerMillion": line.usd_per_million,
                "amount": line.amount,
                "currency": line.currency,
                "source": line.source,
                "sourceUrl": line.source_url,
                "effectiveAt": line.effective_at,
                "observedAt": line.observed_at,
                "status": line.status,
                "inForce": line.in_force,
                "reason": line.reason,
            }
            for line in offer.prices
        ],
    }


def _amount(nano: int | None) -> float | None:
    return None if nano is None else float(usd_from_nano(nano))
