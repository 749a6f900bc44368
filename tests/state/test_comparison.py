"""Models side by side: what is said in which row, what is marked, what is exported."""

import csv
import io
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from backend.benchmarks.schemas import ModelBenchmarks, ResultView
from backend.benchmarks.scores import SkillScore
from backend.carbon.footprint import Footprint, Unknown
from backend.carbon.sizes import Size
from backend.catalog.schemas import CapabilityState, ModelDetail, ModelSummary, OfferView
from backend.pricing.schemas import ModelCost, OfferCost
from state.compare_export import as_csv, as_markdown
from state.comparison import COSTS, Cell, Column, Contender, Row, Section, column, only_differences, sections
from state.folding import folded
from state.quality import (
    BENCHMARKS,
    LANGUAGES,
    UNMEASURED,
    quality_sections,
    quality_sentence,
    result_rows,
    result_text,
    score_cell,
    skill_name,
)

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)


def contender(id: str, nano: int | None, *, context: int | None = 128_000, vision: bool | None = True) -> Contender:
    summary = ModelSummary(
        id=id, name=id.upper(), creator="acme", creator_name="Acme", mode="chat", capabilities=(), modalities_in=("text",),
        modalities_out=("text",), context_tokens=context, max_output_tokens=None, input_nano=nano, output_nano=nano,
        price_state="priced" if nano else "unpriced", offers=1, providers=1, cheapest_offer=f"acme/{id}", own_offer=f"acme/{id}",
        own_input_nano=nano, own_output_nano=nano, release_date=date(2026, 1, 2), status="active", open_weights=None,
    )  # fmt: skip
    offer = OfferView(
        id=f"acme/{id}", provider_id="acme", provider_name="Acme", upstream_id=id, region=None, context_tokens=None, max_output_tokens=None,
        capabilities=(), deprecation_date=None, status="active", price_state=summary.price_state, input_nano=nano, output_nano=nano,
        cache_read_nano=None, batch_input_nano=None, price_agreement=2, price_sources=2, price_observed_at=NOW,
    )  # fmt: skip
    detail = ModelDetail(
        summary=summary, description=None, family=None, licence=None, max_output_tokens=None, knowledge_cutoff=None, deprecation_date=None,
        supported_formats=(), languages=(), facts=(), offers=(offer,), aliases=(), headline="",
        capability_matrix=(CapabilityState("vision", "Sees images", vision), CapabilityState("tools", "Tool calling", None)),
    )  # fmt: skip
    state = "unpriced" if nano is None else "priced" if nano else "free"
    cost = OfferCost(offer.id, "acme", state, nano, nano and nano * 10, nano and nano * 304, nano)
    return Contender(detail, ModelCost(id, id.upper(), id, (cost,)))


def row(found: list[Section], label: str) -> Row:
    return next(one for section in found for one in section.rows if one.label == label)


def test_the_best_of_a_row_is_marked_and_what_nobody_says_is_said() -> None:
    found = sections([contender("a", 1_000), contender("b", 4_000, context=None, vision=None), contender("c", None, vision=False)], NOW)
    assert [(cell.text, cell.tone) for cell in row(found, "A call").cells] == [
        ("$0.000001", "good"),
        ("$0.000004", ""),
        ("unpriced", "quiet"),
    ]
    assert [cell.text for cell in row(found, "Cheapest at").cells] == ["Acme", "Acme", "nobody"]
    assert [cell.text for cell in row(found, "Context, tokens").cells] == ["128k", "not stated", "128k"]
    assert [cell.text for cell in row(found, "Sees images").cells] == ["yes", "not stated", "no"]
    assert all(one.label != "Tool calling" for section in found for one in section.rows), "what nobody states of any is no row"
    assert column(contender("a", 1)) == Column("a", "A", "/models/a", "Acme")


def test_where_all_are_the_same_there_is_no_best_and_no_difference() -> None:
    found = sections([contender("a", 1_000), contender("b", 1_000)], NOW)
    assert {cell.tone for cell in row(found, "A call").cells} == {""}
    assert only_differences(found) == []
    assert [
        one.label for section in only_differences(sections([contender("a", 1_000), contender("b", 2_000)], NOW)) for one in section.rows
    ][:3] == ["A call", "A day", "A month"]


def test_what_is_the_same_and_what_nobody_reads_through_is_folded_away() -> None:
    def some(title: str, differing: int, same: int) -> Section:
        rows = [Row(f"differs {n}") for n in range(differing)] + [Row(f"same {n}", same=True) for n in range(same)]
        return folded(Section(title, rows[::-1]))

    def told(section: Section) -> tuple[int, str, str]:
        return len(section.rows), section.fold_label, section.fold_hint

    assert told(some("Can do", 2, 3)) == (2, "3 are the same", "same 2, same 1, same 0")
    assert told(some("Can do", 0, 1)) == (0, "1 is the same", "same 0")
    assert told(some("Can do", 14, 1)) == (12, "3 more", "differs 1, differs 0, same 0")
    assert told(some(BENCHMARKS, 8, 0)) == (6, "2 more", "differs 1, differs 0")
    assert told(some(LANGUAGES, 2, 0)) == (0, "2 languages", "differs 1, differs 0")
    assert told(some(LANGUAGES, 1, 0)) == (1, "", ""), "a single row is no longer than the button"
    assert told(some("Can do", 3, 1)) == (4, "", "")
    assert told(some(COSTS, 3, 9)) == (12, "", ""), "what the work costs stays whole"


def test_one_model_alone_differs_from_nobody() -> None:
    assert not any(one.same for section in sections([contender("a", 1)], NOW) for one in section.rows)


def test_a_free_offer_costs_nothing_and_an_unpriced_one_is_not_free() -> None:
    found = sections([contender("a", 0), contender("b", None)], NOW)
    assert [cell.text for cell in row(found, "A month").cells] == ["free", "unpriced"]


def test_emissions_are_a_range_that_nobody_wins_and_unknown_where_nobody_knows_the_size() -> None:
    size = Size(70, 70, 70, 70, "name")
    low = Footprint("a", 500, 1, "WOR", 1, 2, 0.3512, 0.568, size, "", (), "")
    found = sections([replace(contender("a", 1), carbon=low), replace(contender("b", 1), carbon=Unknown("b", 500, 1, "WOR", "?"))], NOW)
    cells = row(found, "g CO₂e a call").cells
    assert [(cell.text, cell.note, cell.tone) for cell in cells] == [
        ("0.35–0.57", "by the size in its name", ""),
        ("not known", "", "quiet"),
    ]


# --- quality -----------------------------------------------------------------------------------------------------------------------


def result(benchmark: str, score: float, *, unit: str = "percent", direction: str = "higher", own: bool = False) -> ResultView:
    normalised = score if direction == "higher" else 100 - score
    return ResultView(
        id=f"{benchmark}-{score}", benchmark=benchmark, name=benchmark.upper(), metric="accuracy", version="v2", skill="coding",
        language=None,
        direction=direction, unit=unit, score=score, normalised=normalised, published_name="x", variant="high", measured_on=None,
        source_url="", dataset="", licence="", reported_by="", self_reported=own, notes="", counts=True,
    )  # fmt: skip


def test_a_score_never_stands_without_what_the_evidence_allows() -> None:
    cell = score_cell(SkillScore(54.8, 25.7, 80.9, 2, 1))
    assert (cell.text, cell.note, cell.bar) == ("55", "26–81, 2 results, 1 by its maker", True)
    assert score_cell(SkillScore(54.8, 25.7, 80.9, 1, 1, ("high",))).note == "26–81, 1 result, by its maker, asked as high"
    assert score_cell(SkillScore(54.8, 25.7, 80.9, 2, 0, ("fc", "high"))).note == "26–81, 2 results, asked with function calling, as high"
    assert score_cell(None).text == UNMEASURED


@pytest.mark.parametrize(("low", "tone"), [(71.0, "good"), (69.0, "")])
def test_the_better_one_is_marked_only_where_that_is_sure(low: float, tone: str) -> None:
    models = [
        ModelBenchmarks("a", None, {"coding": SkillScore(80, low, 90, 9, 0)}, ()),
        ModelBenchmarks("b", None, {"coding": SkillScore(60, 50, 70, 9, 0)}, ()),
        ModelBenchmarks("c", None, {}, ()),
    ]
    cells = quality_sections(models)[0].rows[0].cells
    assert [cell.tone for cell in cells] == [tone, "", "quiet"]


def test_benchmarks_that_two_share_are_shown_in_their_own_unit_and_direction() -> None:
    models = [
        ModelBenchmarks(
            "a", None, {}, (result("swe", 60), result("wer", 4, unit="percent (lower is better)", direction="lower"), result("x", 1))
        ),
        ModelBenchmarks(
            "b", None, {}, (result("swe", 40, own=True), result("wer", 9, unit="percent (lower is better)", direction="lower"))
        ),
    ]
    (shared,) = quality_sections(models)
    assert {one.label for one in shared.rows} == {"SWE", "WER"}, "what only one was measured on is not shared"
    swe, wer = sorted(shared.rows, key=lambda one: one.label)
    assert [(cell.text, cell.note, cell.tone) for cell in swe.cells] == [("60 %", "high", "good"), ("40 %", "high, by its maker", "")]
    assert wer.hint == "accuracy, v2, less is better"
    assert [cell.tone for cell in wer.cells] == ["good", ""]


def test_versions_of_a_benchmark_never_mix_and_one_of_them_is_shown() -> None:
    old, new = result("live", 50), result("live", 70)
    models = [
        ModelBenchmarks(id, None, {}, (replace(old, benchmark="live-1", version="2024"), replace(new, benchmark="live-2", version="2025")))
        for id in ("a", "b")
    ]
    models.append(ModelBenchmarks("c", None, {}, (replace(old, benchmark="live-1", version="2024", score=10.0),)))
    (shared,) = quality_sections(models)
    assert [(one.hint, [cell.text for cell in one.cells]) for one in shared.rows] == [("accuracy, 2024", ["50 %", "50 %", "10 %"])]
    (shared,) = quality_sections(models[:2])
    assert [one.hint for one in shared.rows] == ["accuracy, 2025"], "the newest of those with as many models"


def test_numbers_and_skills_are_said_as_people_say_them() -> None:
    assert result_text(result("x", 0.625, unit="fraction")) == "62.5 %"
    assert result_text(result("x", 3.14159, unit="mean rank")) == "rank 3.14"
    assert result_text(result("x", 0.5, unit="USD")) == "$0.50"
    assert skill_name("instruction_following") == "Instruction following"
    assert skill_name("multilingual:da") == "Danish"


# --- files -------------------------------------------------------------------------------------------------------------------------

HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")', "＝1+1", "＠SUM(A1)"]


@pytest.mark.case("W5")
@pytest.mark.parametrize("name", HOSTILE)
def test_no_cell_of_the_csv_is_a_formula(name: str) -> None:
    text = as_csv([Column(name, name, "", "")], [Section(name, [Row(name, cells=[Cell(name)])])], name)
    for line in csv.reader(io.StringIO(text, newline="")):
        assert all(not field.startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＠")) for field in line)


def test_the_csv_holds_every_row_with_a_column_per_model() -> None:
    found = sections([contender("a", 1_000), contender("b", 4_000)], NOW)
    columns = [column(contender("a", 1)), column(contender("b", 1))]
    lines = list(csv.reader(io.StringIO(as_csv(columns, found, "at today's prices"), newline="")))
    assert lines[0] == ["", "", "A", "B"]
    assert lines[1] == ["Model", "id", "a", "b"]
    assert ["What this work costs", "A call", "$0.000001", "$0.000004"] in lines
    assert lines[-1] == ["About", "at today's prices"]
    assert len(lines) == 3 + sum(len(section.rows) for section in found)


def test_the_markdown_is_tables_and_names_are_no_markup() -> None:
    text = as_markdown("A [costs](x) half", [Column("a", "A|B", "", "")], [Section("S", [Row("R", cells=[Cell("1", "<b>")])])], "about")
    assert text.splitlines() == [
        "# A \\[costs\\](x) half",
        "",
        "## S",
        "",
        "|  | A\\|B |",
        "| --- | ---: |",
        "| R | 1 (\\<b\\>) |",
        "",
        "about",
    ]


def test_the_title_of_a_model_says_where_it_is_strong_and_where_the_evidence_is_thin() -> None:
    coding, danish = SkillScore(80, 75, 85, 12, 0), SkillScore(50, 20, 80, 1, 0)
    assert quality_sentence(ModelBenchmarks("a", None, {"coding": coding, "multilingual:da": danish}, ())) == (
        "Strongest in coding, thin evidence in Danish"
    )
    weak = {"coding": SkillScore(40, 30, 50, 9, 0), "maths": SkillScore(30, 20, 40, 9, 0)}
    assert quality_sentence(ModelBenchmarks("a", None, weak, ())) == "Below the middle in all that was measured, best in coding"
    assert quality_sentence(ModelBenchmarks("a", None, {"coding": coding}, ())) == "Measured in coding alone"
    assert quality_sentence(ModelBenchmarks("a", None, {}, ())) == "No benchmark of this model is known"


def test_results_that_scores_rest_on_come_first_and_only_pages_are_linked() -> None:
    old = replace(result("old", 10), counts=False, measured_on=date(2024, 1, 1))
    new = replace(result("new", 20), counts=False, measured_on=date(2025, 1, 1), source_url="javascript:alert(1)")
    used = replace(result("used", 30, own=True), reported_by="Acme", source_url="https://example.org/x")
    rows, more = result_rows([old, new, used])
    assert ([row.name for row in rows], more) == (["USED", "NEW", "OLD"], 0)
    assert [(row.href, row.used) for row in rows] == [("https://example.org/x", True), ("", False), ("", False)]
    assert (rows[0].by, rows[0].hint) == ("Acme, its maker", "accuracy, v2, asked as high")
    assert result_rows([old] * 70)[1] == 10
