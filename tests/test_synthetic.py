"""The synthetic RSA files are true to format, the same every time, and damaged only where and how it is asked.

The judge of all this is the oracle, whose own reading of the rules is fixed here by examples.
"""

import csv
import hashlib
import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from oracle_rsa import Verdict, activity, judge, os_13

from connectors import synthetic_rsa
from connectors.synthetic import Recipe, fictional_finess, sites
from connectors.synthetic_damage import DEFECTS, damage
from connectors.synthetic_rsa import records, write_rsa
from contracts_schema import layouts

FINESS = fictional_finess("99", 1)
VERSIONS = ["224", "225", "226", "227", "228", "229"]
SMALL = Recipe(FINESS, 2025, 1, 300, seed=7)
CODES = Path(str(layouts.folder())).parent / "codes"


def file_of(recipe: Recipe) -> bytes:
    return b"".join(records(recipe))


def lines_of(recipe: Recipe) -> list[bytes]:
    return file_of(recipe).split(b"\r\n")[:-1]


def occurrences(verdict: Verdict, zone: str) -> list[dict[str, str]]:
    """The fields of each occurrence of a zone of an accepted line."""
    of_format = layouts.layouts("MCO", "RSA")[str(verdict.format)]
    shape = next(found for found in of_format.zones if found.name == zone)
    text = verdict.zones[zone]
    return [
        {field.name: text[at + field.offset : at + field.offset + field.length].strip() for field in shape.fields}
        for at in range(0, len(text), shape.width)
    ]


# --- true to format ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_line_of_every_format_is_accepted_without_padding(version: str) -> None:
    recipe = Recipe(FINESS, 2025, 2, 150, seed=3, version=version, late=0.0, vanished=0.0)
    verdicts = judge(file_of(recipe), FINESS)
    assert Counter((v.outcome, v.padded, v.format) for v in verdicts) == {("accepted", False, version): 300}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_length_of_a_line_obeys_the_formula_of_the_index(version: str) -> None:
    recipe = Recipe(FINESS, 2025, 1, 200, seed=3, version=version)
    formula = layouts.index()[f"mco_rsa_{version}"]["variable_formula"]
    constant, terms = int(formula.split("+")[0]), re.findall(r"(\d+)\*(\w+)", formula)
    for line, verdict in zip(lines_of(recipe), judge(file_of(recipe), FINESS), strict=True):
        assert len(line) == constant + sum(int(width) * int(verdict.values[count] or 0) for width, count in terms)


@pytest.mark.parametrize("version", ["224", "227", "229"])
def test_codes_and_their_pairs_are_those_of_the_code_lists(version: str) -> None:
    verdicts = judge(file_of(Recipe(FINESS, 2024, 1, 1500, seed=5, version=version)), FINESS)
    entries = {(v.values["entry_mode"], v.values["entry_provenance"]) for v in verdicts}
    exits = {(v.values["exit_mode"], v.values["exit_destination"]) for v in verdicts}
    assert entries <= valid_pairs("mco_entry_pairs.csv", "entry_mode", "provenance", "first_or_only_rum")
    assert exits <= valid_pairs("mco_exit_pairs.csv", "exit_mode", "destination", "last_or_only_rum")
    from_emergency = {("8", "5"), ("8", "U")} & entries
    assert bool(from_emergency) == (version != "229")
    flags = {"ed_passage": {None, "5", "U", "V"}, "unscheduled": {None, "1", "2", "X"}, "raac": {None, "0", "1", "2"}}
    present = {name for name in flags if name in verdicts[0].values}
    assert present == {"224": set(), "227": {"unscheduled", "raac"}, "229": set(flags)}[version]
    for name in present:
        assert {v.values[name] for v in verdicts} == flags[name]


def valid_pairs(name: str, mode: str, place: str, where: str) -> set[tuple[str, str | None]]:
    with (CODES / name).open(encoding="utf-8", newline="") as lines:
        return {(row[mode], row[place] or None) for row in csv.DictReader(lines) if row[where].startswith("ok")}


def test_the_units_of_a_stay_share_out_its_nights_diagnoses_and_acts() -> None:
    verdicts = judge(file_of(Recipe(FINESS, 2025, 1, 800, seed=2)), FINESS)
    for verdict in verdicts:
        rums, stay = occurrences(verdict, "rum"), verdict.values
        assert [int(rum["rum_number"]) for rum in rums] == list(range(1, len(rums) + 1))
        assert sum(int(rum["rum_partial_los"]) for rum in rums) == stay["los_nights"]
        assert rums[int(stay["dp_rum_number"] or 0) - 1]["rum_dp"] == stay["main_diagnosis"]
        assert {rum["rum_finess_geo"] for rum in rums} <= set(sites(FINESS))
        assert all(int(act["act_delay_days"]) <= int(stay["los_nights"] or 0) for act in occurrences(verdict, "act"))
    assert max(len(occurrences(verdict, "rum")) for verdict in verdicts) > 2
    assert any(occurrences(verdict, "pgv") for verdict in verdicts)
    assert any(occurrences(verdict, "radiotherapy") for verdict in verdicts)


def test_the_mix_of_stays_looks_like_a_hospital() -> None:
    recipe = Recipe(FINESS, 2025, 1, 4000, seed=11, late=0.0)
    data = file_of(recipe)
    verdicts = judge(data, FINESS)
    stays = [verdict.values for verdict in verdicts]
    assert 505 < len(data) / len(stays) < 530
    share = {name: sum(int(stay[name] or 0) for stay in stays) / len(stays) for name in ("das_count", "act_count")}
    assert (share["das_count"], share["act_count"]) == pytest.approx((4.2, 5.7), rel=0.07)
    raac = os_13(verdicts)[2025, "v1"]
    assert 0.25 < raac.denominator / len(stays) < 0.35
    assert 0.25 < raac.numerator / raac.denominator < 0.5
    assert {stay["stay_type"] for stay in stays} == {None, "A", "B"}
    assert {stay["ghm_cmd"] for stay in stays} >= {"28", "90", "15", "14"}
    assert all(stay["session_count"] for stay in stays if stay["ghm_cmd"] == "28")
    newborns = [stay for stay in stays if stay["ghm_cmd"] == "15" and stay["stay_type"] != "B"]
    assert {(stay["entry_mode"], stay["age_years"], stay["age_days"]) for stay in newborns} == {("N", None, 0)}
    assert all(stay["entry_weight_g"] for stay in newborns)
    assert {s["raac"] for s in stays if s["exit_mode"] in ("0", "7", "9") and s["ghm_type"] == "C"} == {"0", "2"}
    assert {s["raac"] for s in stays if s["ghm_type"] != "C"} == {None}


@pytest.mark.parametrize(("department", "start"), [("99", "99"), ("2A99", "2A99"), ("2B99", "2B99")])
def test_a_fictional_finess_carries_the_right_key(department: str, start: str) -> None:
    for number in range(30):
        finess = fictional_finess(department, number)
        assert len(finess) == 9
        assert finess.startswith(start)
        digits = [int(digit) for digit in finess.replace("A", "1").replace("B", "2")]
        doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
        assert (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def test_a_number_too_long_for_its_department_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        fictional_finess("2A99", 12345)


# --- the same every time ----------------------------------------------------------------------------------------------


def test_the_same_recipe_gives_the_same_bytes_whatever_the_size_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = file_of(Recipe(FINESS, 2025, 3, 100, seed=1))
    monkeypatch.setattr(synthetic_rsa, "BLOCK", 7)
    blocks = list(records(Recipe(FINESS, 2025, 3, 100, seed=1)))
    assert b"".join(blocks) == whole
    assert max(block.count(b"\n") for block in blocks) <= 7


def test_the_bytes_of_a_recipe_do_not_drift() -> None:
    data = file_of(Recipe(FINESS, 2025, 2, 500, seed=1))
    assert hashlib.sha256(data).hexdigest() == "423ef9e5d498d3dd7b50b63db4036316cad763d266f2840afcd3a22fa717eab7"


@pytest.mark.parametrize("other", [{"seed": 8}, {"finess": fictional_finess("99", 2)}, {"year": 2024}])
def test_another_seed_establishment_or_year_has_other_stays(other: dict[str, object]) -> None:
    changed = replace(SMALL, **other)  # type: ignore[arg-type]
    own = {line[23:60] + line[214:] for line in lines_of(SMALL)}
    assert len(own & {line[23:60] + line[214:] for line in lines_of(changed)}) < 20


# --- cumulative transmissions -----------------------------------------------------------------------------------------


def test_each_month_sends_the_earlier_ones_again_renumbered_from_one() -> None:
    contents = []
    for months in range(1, 6):
        lines = lines_of(Recipe(FINESS, 2025, months, 1000, seed=4))
        assert [int(line[12:22]) for line in lines] == list(range(1, len(lines) + 1))
        assert {int(line[61:63]) for line in lines} == set(range(1, months + 1))
        contents.append(Counter(line[:12] + line[22:] for line in lines))
    for before, after in pairwise(contents):
        assert 0 < (before - after).total() < 0.03 * before.total()
        assert after.total() - before.total() == pytest.approx(1000, rel=0.02)


@pytest.mark.parametrize(
    ("shares", "gone", "new"),
    [
        ({"changed": 0.1, "vanished": 0.0, "late": 0.0}, True, True),
        ({"changed": 0.0, "vanished": 0.1, "late": 0.0}, True, False),
        ({"changed": 0.0, "vanished": 0.0, "late": 0.1}, False, True),
        ({"changed": 0.0, "vanished": 0.0, "late": 0.0}, False, False),
    ],
)
def test_earlier_stays_change_vanish_or_come_late_only_as_the_recipe_says(
    shares: dict[str, float], gone: bool, new: bool
) -> None:
    before, after = (
        Counter(
            line[:12] + line[22:]
            for line in lines_of(Recipe(FINESS, 2025, months, 400, seed=4, **shares))  # type: ignore[arg-type]
            if line[61:63] == b"01"
        )
        for months in (1, 3)
    )
    assert (bool(before - after), bool(after - before)) == (gone, new)


def test_a_changed_stay_is_regrouped_or_has_one_more_diagnosis_and_nothing_else() -> None:
    only_changes = {"changed": 0.2, "vanished": 0.0, "late": 0.0}
    before, after = (
        judge(file_of(Recipe(FINESS, 2025, months, 300, seed=4, **only_changes)), FINESS)[:300]  # type: ignore[arg-type]
        for months in (1, 4)
    )
    kinds: Counter[frozenset[str]] = Counter()
    for old, new in zip(before, after, strict=True):
        fields = {name for name in old.values if old.values[name] != new.values[name]}
        zones = {name for name in old.zones if old.zones[name] != new.zones[name]}
        kinds[frozenset(fields | zones)] += 1
        if "das" in zones:
            assert new.zones["das"][:-6] == old.zones["das"]
    assert set(kinds) == {frozenset(), frozenset({"ghm_severity"}), frozenset({"das_count", "rum", "das"})}
    assert 240 - 25 < kinds[frozenset()] < 240 + 25


def test_without_shares_the_file_has_exactly_the_stays_asked(tmp_path: Path) -> None:
    recipe = Recipe(FINESS, 2025, 3, 50, seed=1, changed=0.0, vanished=0.0, late=0.0)
    assert write_rsa(tmp_path / "a.rsa", recipe) == 150
    assert (tmp_path / "a.rsa").read_bytes() == file_of(recipe)


# --- damage -----------------------------------------------------------------------------------------------------------

Expected = tuple[str, str | None, tuple[str, ...]]
ACCEPTED: Expected = ("accepted", None, ())
IGNORED: Expected = ("ignored", None, ())


def quarantined(reason: str, *fields: str) -> Expected:
    return "quarantined", f"pmsi.{reason}", fields


EXPECTED: dict[str, list[Expected]] = {
    "control_byte": [quarantined("control_character")],
    "unknown_format": [quarantined("unknown_format")],
    "cut_in_fixed_part": [quarantined("line_too_short")],
    "cut_in_variable_part": [quarantined("line_length")],
    "blanks_stripped": [ACCEPTED],
    "extra_bytes": [quarantined("line_length")],
    "extra_blanks": [ACCEPTED],
    "other_finess": [quarantined("finess_mismatch")],
    "count_not_numeric": [quarantined("invalid_count", "das_count")],
    "sum_mismatch": [quarantined("count_mismatch")],
    "month_13": [quarantined("invalid_value", "exit_month")],
    "age_a5": [quarantined("invalid_value", "age_years")],
    "same_line_twice": [ACCEPTED, quarantined("duplicate_record")],
    "same_record_number": [ACCEPTED, quarantined("duplicate_record")],
    "e_acute_in_utf8": [quarantined("line_length")],
    "e_acute_in_latin1": [ACCEPTED],
    "quote": [ACCEPTED],
    "comma": [ACCEPTED],
    "blank_line_after": [ACCEPTED, IGNORED],
    "line_of_spaces_after": [ACCEPTED, IGNORED],
    "end_of_file_mark_after": [ACCEPTED, IGNORED],
    "end_of_file_mark_in_line": [quarantined("control_character")],
    "byte_order_mark": [quarantined("unknown_format")],
}


def test_every_defect_has_an_expected_outcome() -> None:
    assert set(EXPECTED) == set(DEFECTS)


def test_a_recipe_of_no_stay_gives_an_empty_file() -> None:
    assert file_of(replace(SMALL, stays_per_month=0)) == b""
    assert file_of(replace(SMALL, stays_per_month=3, late=1.0)) == b""


@pytest.mark.parametrize("version", ["224", "229"])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_defect_does_to_its_line_what_its_name_says_and_nothing_to_the_others(name: str, version: str) -> None:
    lines = lines_of(Recipe(FINESS, 2025, 1, 24, seed=9, version=version))
    for index in range(1, len(lines) - 1, 7):  # the first and the last line have rules of their own
        damaged = damage(lines, {index: name})
        verdicts = judge(b"".join(line + b"\r\n" for line in damaged), FINESS)
        own, others = (
            verdicts[index : index + len(EXPECTED[name])],
            verdicts[:index] + verdicts[index:][len(EXPECTED[name]) :],
        )
        assert [(v.outcome, v.rule, v.fields) for v in own] == EXPECTED[name]
        assert {(v.outcome, v.padded) for v in others} == {("accepted", False)}
        assert own[0].padded == (name == "blanks_stripped")


def test_defects_of_a_whole_file_are_accepted_where_they_belong() -> None:
    lines = damage(lines_of(SMALL), {0: "byte_order_mark", len(lines_of(SMALL)) - 1: "end_of_file_mark_in_line"})
    verdicts = judge(b"\r\n".join(lines), FINESS)
    assert {verdict.outcome for verdict in verdicts} == {"accepted"}
    assert [verdict.offset for verdict in verdicts[:2]] == [3, len(lines[0]) + 2]


def test_a_file_is_written_with_its_defects_at_the_records_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_rsa, "BLOCK", 16)
    defects = {0: "month_13", 15: "same_line_twice", 16: "extra_bytes", 299: "blank_line_after", 5000: "quote"}
    recipe = Recipe(FINESS, 2025, 1, 300, seed=7, late=0.0)
    assert write_rsa(tmp_path / "a.rsa", recipe, b"\n", defects) == 300
    data = (tmp_path / "a.rsa").read_bytes()
    assert b"\r" not in data
    wrong = [(v.line, v.rule) for v in judge(data, FINESS) if v.outcome != "accepted"]
    assert wrong == [
        (1, "pmsi.invalid_value"),
        (17, "pmsi.duplicate_record"),
        (18, "pmsi.line_length"),
        (302, None),
    ]


# --- the oracle's reading of the rules --------------------------------------------------------------------------------


def one_rum_line(*, das: bytes = b"", acts: bytes = b"", **fields: str) -> bytes:
    """A line of format 229 built by hand: one RUM, the given DAS and acts, everything else blank."""
    layout = layouts.layouts("MCO", "RSA")["229"]
    plain = {
        "finess": FINESS,
        "format_version": "229",
        "record_number": "1",
        "rum_count": "1",
        "exit_month": "6",
        "das_count": str(len(das) // 6),
        "act_count": str(len(acts) // 24),
    }
    rum = {"rum_number": "1", "rum_das_count": str(len(das) // 6), "rum_act_count": str(len(acts) // 24)}
    fixed = "".join((plain | fields).get(field.name, "").rjust(field.length) for field in layout.fields)
    zone = next(zone for zone in layout.zones if zone.name == "rum")
    unit = "".join((rum | fields).get(field.name, "").rjust(field.length) for field in zone.fields)
    return fixed.encode("latin-1") + unit.encode("latin-1") + das + acts


ACT = b"  0DEQP003  01       011"

RULES: dict[str, tuple[bytes, Expected, bool]] = {
    "a blank count is zero": (one_rum_line(das_count=""), ACCEPTED, False),
    "a count with an inner space": (one_rum_line(das_count="1 1"), quarantined("invalid_count", "das_count"), False),
    "two wrong counts": (
        one_rum_line(das_count="+1", act_count="-1"),
        quarantined("invalid_count", "das_count", "act_count"),
        False,
    ),
    "no RUM": (one_rum_line(rum_count="0")[:265], quarantined("invalid_value", "rum_count"), False),
    "a sign is not a digit": (one_rum_line(age_years="+50"), quarantined("invalid_value", "age_years"), False),
    "all faulty fields, zones included": (
        one_rum_line(age_years="A5", exit_month="0", rum_igs2="1x"),
        quarantined("invalid_value", "age_years", "exit_month", "rum_igs2"),
        False,
    ),
    "a blank record number": (one_rum_line(record_number=""), quarantined("invalid_value", "record_number"), False),
    "a blank month": (one_rum_line(exit_month=""), quarantined("invalid_value", "exit_month"), False),
    "an unknown code": (one_rum_line(exit_mode="Z"), ACCEPTED, False),
    "the first failing step wins": (
        one_rum_line(finess=FINESS[::-1], das_count="x"),
        quarantined("finess_mismatch"),
        False,
    ),
    "twenty bytes short": (one_rum_line()[:-20], ACCEPTED, True),
    "twenty-one bytes short": (one_rum_line()[:-21], quarantined("line_length"), False),
    "a diagnosis cut short": (one_rum_line(das=b"I10   ")[:-3], ACCEPTED, True),
    "a diagnosis lost": (one_rum_line(das=b"I10   ")[:-6], quarantined("line_length"), False),
    "an act without its last mark": (one_rum_line(acts=ACT)[:-1], ACCEPTED, True),
    "an act without its quantity": (one_rum_line(acts=ACT)[:-3], quarantined("line_length"), False),
    "sums of the units": (one_rum_line(acts=ACT, rum_act_count="2"), quarantined("count_mismatch"), False),
    "too short for a format number": (one_rum_line()[:11], quarantined("unknown_format"), False),
    "fixed part stripped": (one_rum_line()[:264], quarantined("line_too_short"), False),
    "a tab inside": (one_rum_line(exit_mode="\t"), quarantined("control_character"), False),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_the_oracle_judges_a_line_as_the_specification_says(case: str) -> None:
    line, expected, padded = RULES[case]
    (verdict,) = judge(line, FINESS)
    assert ((verdict.outcome, verdict.rule, verdict.fields), verdict.padded) == (expected, padded)


def test_the_oracle_tells_values_zones_and_byte_offsets() -> None:
    line = one_rum_line(das=b"I10   ", acts=ACT, age_years="7", postal_code=" é 1", record_number="000123")
    data = b"\xef\xbb\xbf" + line + b"\r\n\r\n" + line + b"  \n\x1a"
    first, blank, again, mark = judge(data, FINESS)
    assert (first.values["age_years"], first.values["postal_code"], first.values["sex"]) == (7, "é 1", None)
    assert first.values["record_number"] == "000123"
    assert first.zones["das"] == "I10   "
    assert first.zones["act"] == ACT.decode()
    assert (first.zones["pgv"], len(first.zones["rum"])) == ("", 61)
    assert [v.offset for v in (first, blank, again, mark)] == [3, 5 + len(line), 7 + len(line), 10 + 2 * len(line)]
    assert (again.rule, again.identical) == ("pmsi.duplicate_record", False)
    assert (blank.outcome, mark.outcome) == ("ignored", "ignored")
    assert not any(name.startswith("filler") for name in first.values)


def test_a_quarantined_line_does_not_take_a_record_number() -> None:
    data = b"\n".join([one_rum_line(exit_month="13"), one_rum_line(), one_rum_line()])
    assert [(v.outcome, v.identical) for v in judge(data, FINESS)] == [
        ("quarantined", None),
        ("accepted", None),
        ("quarantined", True),
    ]


def test_an_empty_file_has_no_line() -> None:
    assert judge(b"", FINESS) == judge(b"\xef\xbb\xbf", FINESS) == []


def test_the_oracle_counts_activity_and_enhanced_recovery_as_the_indicators_say() -> None:
    surgery = {"ghm_type": "C", "ghm_cmd": "08", "exit_year": "2025"}
    stays = [
        surgery | {"raac": "1", "los_nights": "3"},
        surgery | {"raac": "1", "los_nights": "0"},
        surgery | {"raac": "2", "los_nights": "2"},
        surgery | {"raac": "1", "los_nights": "1", "stay_type": "B"},
        surgery | {"raac": "1", "ghm_cmd": "90"},
        {"ghm_type": "Z", "ghm_cmd": "28", "exit_year": "2025", "session_count": "4"},
        {"ghm_type": "Z", "ghm_cmd": "28", "exit_year": "2025"},
        {"ghm_type": "M", "ghm_cmd": "04", "exit_year": "2025", "exit_month": "7", "los_nights": ""},
    ]
    lines = [one_rum_line(**stay, record_number=str(n)) for n, stay in enumerate(stays, start=1)]  # type: ignore[arg-type]
    data = b"\n".join(lines)
    verdicts = judge(data, FINESS)
    counted = {variant: (share.numerator, share.denominator) for (_, variant), share in os_13(verdicts).items()}
    assert counted == {"v1": (2, 3), "v2_overnight": (1, 2)}
    june, july = activity(verdicts)[2025, 6], activity(verdicts)[2025, 7]
    assert (june.stays, june.nights, june.sessions) == (3, 5, 5)
    assert (july.stays, july.nights, july.sessions) == (1, 0, 0)
