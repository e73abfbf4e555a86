"""What becomes of each line of an RSA file, said slowly and plainly, to be compared with the real reader and views.

Bytes, slices and loops only: it reads the layout CSV files itself, and must never import the code it judges. A rule
that is unclear here is unclear in the specification ("Order of checks on one line").
"""

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

Value = int | str | date | None
Outcome = Literal["accepted", "quarantined", "ignored"]

LAYOUTS = Path(__file__).parent.parent / "contracts_schema" / "pmsi" / "layouts"
MOST_PADDING = 20
REQUIRED = {"rum_number", "act_ccam", "act_quantity", "das_code", "pgv_auth_type", "rt_suppl_code"}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one physical line; ``offset`` is the position of its first byte in the file."""

    line: int
    offset: int
    outcome: Outcome
    rule: str | None = None
    fields: tuple[str, ...] = ()  # for invalid_count and invalid_value, in the order of the layout
    padded: bool = False
    identical: bool | None = None  # for duplicate_record: received bytes equal, line end apart
    format: str | None = None
    values: dict[str, Value] = field(default_factory=dict)
    zones: dict[str, str] = field(default_factory=dict)
    masked: tuple[str, ...] = ()  # amounts and dates that the source hides: ANO


@cache
def formats() -> dict[str, list[dict[str, str]]]:
    """Rows of the layout CSV of each RSA format, by format number."""
    with (LAYOUTS / "INDEX.csv").open(encoding="utf-8", newline="") as index:
        known = [row for row in csv.DictReader(index) if row["field_of_care"] == "MCO" and row["record"] == "RSA"]
    found = {}
    for entry in known:
        with (LAYOUTS / f"{entry['format_id']}.csv").open(encoding="utf-8", newline="") as rows:
            found[entry["detect_value"]] = list(csv.DictReader(rows))
    return found


def physical_lines(data: bytes) -> list[tuple[int, bytes]]:
    """(offset, bytes) of each line without its end, a byte order mark and a last ^Z taken off."""
    offset = 0
    if data.startswith(b"\xef\xbb\xbf"):
        offset, data = 3, data[3:]
    pieces = data.split(b"\n")
    if pieces[-1] == b"":
        pieces.pop()
    lines = []
    for number, piece in enumerate(pieces, start=1):
        text = piece[:-1] if piece.endswith(b"\r") else piece
        if number == len(pieces) and text.endswith(b"\x1a") and len(text) > 1:
            text = text[:-1].removesuffix(b"\r")  # what stood before the end of file may end like any line
        lines.append((offset, text))
        offset += len(piece) + 1
    return lines


def judge(data: bytes, finess: str) -> list[Verdict]:
    """One verdict a line, in the order of the file."""
    verdicts: list[Verdict] = []
    accepted: dict[Value, bytes] = {}
    for number, (offset, line) in enumerate(physical_lines(data), start=1):
        verdict = judge_line(number, offset, line, finess)
        if verdict.outcome == "accepted":
            key = verdict.values["record_number"]
            if key in accepted:
                same = accepted[key] == line
                verdict = Verdict(number, offset, "quarantined", "pmsi.duplicate_record", identical=same, format=verdict.format)
            else:
                accepted[key] = line
        verdicts.append(verdict)
    return verdicts


def judge_line(number: int, offset: int, line: bytes, finess: str) -> Verdict:
    """Everything that can be said of a line without the others."""

    def refused(reason: str, fields: Iterable[str] = ()) -> Verdict:
        return Verdict(number, offset, "quarantined", f"pmsi.{reason}", tuple(fields), format=version)

    version: str | None = None
    if line.strip(b" \t") == b"" or line == b"\x1a":
        return Verdict(number, offset, "ignored")
    if any(byte < 0x20 for byte in line):
        return refused("control_character")
    if len(line) < 12 or line[9:12].decode("latin-1") not in formats():
        return refused("unknown_format")
    version = line[9:12].decode("latin-1")
    rows = formats()[version]
    fixed = [row for row in rows if row["zone"] == "fixed"]
    fixed_length = max(end(row) for row in fixed)
    if len(line) < fixed_length:
        return refused("line_too_short")
    if line[0:9].decode("latin-1") != finess:
        return refused("finess_mismatch")

    count_names = {row["count_field"] for row in rows if row["zone"] != "fixed"}
    counts = {row["field"]: number_in(cut(line, row)) for row in fixed if row["field"] in count_names}
    bad_counts = [name for name, value in counts.items() if value == "invalid"]
    if bad_counts:
        return refused("invalid_count", bad_counts)

    places = zone_places(rows, fixed_length, {name: int(value or 0) for name, value in counts.items()})
    expected = max([fixed_length, *(start + width for starts, width in places.values() for start in starts)])
    received = len(line)
    if received != expected and any(0xC2 <= a <= 0xDF and 0x80 <= b <= 0xBF for a, b in pairwise(line)):
        return refused("line_length")  # an accent in UTF-8 shifts what follows it, whatever blanks end the line
    if received > expected and line[expected:].strip(b" ") != b"":
        return refused("line_length")
    if received < expected - MOST_PADDING:
        return refused("line_length")
    if lost_required_field(rows, places, received):
        return refused("line_length")
    whole = line[:expected].ljust(expected, b" ")

    faulty, values = typed_fixed_fields(fixed, whole)
    sums, faulty_in_zones = sums_of_zones(rows, places, whole)
    faulty += faulty_in_zones
    if faulty:
        return refused("invalid_value", faulty)
    if (sums["rum_das_count"], sums["rum_act_count"]) != (values["das_count"] or 0, values["act_count"] or 0):
        return refused("count_mismatch")

    zones = {
        name: "".join(whole[start : start + width].decode("latin-1") for start in starts)
        for name, (starts, width) in places.items()
    }
    padded = received < expected
    return Verdict(number, offset, "accepted", padded=padded, format=version, values=values, zones=zones)


def end(row: dict[str, str]) -> int:
    return int(row["start"]) - 1 + int(row["length"])


def cut(record: bytes, row: dict[str, str], base: int = 0) -> bytes:
    return record[base + int(row["start"]) - 1 : base + end(row)]


def number_in(raw: bytes) -> Value:
    """An int, None when blank, the word "invalid" for anything else than digits between spaces."""
    digits = raw.strip(b" ")
    if digits == b"":
        return None
    return int(digits) if digits.isdigit() else "invalid"


def zone_places(rows: list[dict[str, str]], position: int, counts: dict[str, int]) -> dict[str, tuple[list[int], int]]:
    """By zone, where each occurrence starts, and their width."""
    places: dict[str, tuple[list[int], int]] = {}
    for name in dict.fromkeys(row["zone"] for row in rows if row["zone"] != "fixed"):
        members = [row for row in rows if row["zone"] == name]
        width = max(end(row) for row in members)
        starts = [position + rank * width for rank in range(counts[members[0]["count_field"]])]
        position += width * len(starts)
        places[name] = (starts, width)
    return places


def lost_required_field(rows: list[dict[str, str]], places: dict[str, tuple[list[int], int]], received: int) -> bool:
    """Whether a required field of a zone lies wholly past the bytes received."""
    return any(
        start + int(row["start"]) - 1 >= received
        for row in rows
        if row["field"] in REQUIRED
        for start in places[row["zone"]][0]
    )


def typed_fixed_fields(fixed: list[dict[str, str]], whole: bytes) -> tuple[list[str], dict[str, Value]]:
    """Faulty names, and every fixed field typed, fillers left out."""
    faulty: list[str] = []
    values: dict[str, Value] = {}
    for row in fixed:
        name, raw = row["field"], cut(whole, row)
        if name.startswith("filler"):
            continue
        value: Value = number_in(raw) if row["type"] == "int" else (raw.strip(b" ").decode("latin-1") or None)
        values[name] = value
        if (
            (row["type"] == "int" and value == "invalid")
            or (name == "exit_month" and value not in range(1, 13))
            or (name == "rum_count" and value in (None, 0))
            or (name == "record_number" and value is None)
        ):
            faulty.append(name)
    return faulty, values


def sums_of_zones(
    rows: list[dict[str, str]], places: dict[str, tuple[list[int], int]], whole: bytes
) -> tuple[dict[str, int], list[str]]:
    """The sum of every int field of the zones, blanks as 0, and the names of those that are not numbers somewhere."""
    sums: dict[str, int] = {}
    faulty: list[str] = []
    for row in rows:
        if row["zone"] == "fixed" or row["type"] != "int":
            continue
        read = [number_in(cut(whole, row, start)) for start in places[row["zone"]][0]]
        if "invalid" in read:
            faulty.append(row["field"])
        sums[row["field"]] = sum(value for value in read if isinstance(value, int))
    return sums, faulty


# --- indicators, from accepted lines ----------------------------------------------------------------------------------


@dataclass
class Activity:
    stays: int = 0
    nights: int = 0
    sessions: int = 0


def activity(verdicts: Iterable[Verdict]) -> dict[tuple[Value, Value], Activity]:
    """ACTIVITY by (exit_year, exit_month); a month with nothing to count is left out. A blank CMD is a stay."""
    months: dict[tuple[Value, Value], Activity] = defaultdict(Activity)
    for stay in (verdict.values for verdict in verdicts if verdict.outcome == "accepted"):
        if stay["stay_type"] == "B" or stay["ghm_cmd"] == "90":
            continue
        month = months[stay["exit_year"], stay["exit_month"]]
        if stay["ghm_cmd"] == "28":
            month.sessions += max(whole_number(stay["session_count"]), 1)
        else:
            month.stays += 1
            month.nights += whole_number(stay["los_nights"])
    return dict(months)


def by_ghm(verdicts: Iterable[Verdict]) -> dict[tuple[Value, str], Activity]:
    """ACTIVITY by (exit_year, GHM); without a CMD there is no GHM, and the stay counts as INCONNU."""
    groups: dict[tuple[Value, str], Activity] = defaultdict(Activity)
    for stay in (verdict.values for verdict in verdicts if verdict.outcome == "accepted"):
        if stay["stay_type"] == "B" or stay["ghm_cmd"] == "90":
            continue
        parts = [str(stay[f"ghm_{part}"] or "") for part in ("cmd", "type", "number", "severity")]
        group = groups[stay["exit_year"], "".join(parts) if stay["ghm_cmd"] else "INCONNU"]
        if stay["ghm_cmd"] == "28":
            group.sessions += max(whole_number(stay["session_count"]), 1)
        else:
            group.stays += 1
            group.nights += whole_number(stay["los_nights"])
    return dict(groups)


@dataclass
class SiteActivity:
    stays: int = 0
    unit_stays: int = 0
    nights: int = 0


def unit_activity(verdicts: Iterable[Verdict]) -> dict[tuple[str, Value, Value], SiteActivity]:
    """By (site, exit_year, exit_month): stays with a unit there, their units there, the nights in these. No sessions."""
    sites: dict[tuple[str, Value, Value], SiteActivity] = defaultdict(SiteActivity)
    for verdict in (verdict for verdict in verdicts if verdict.outcome == "accepted"):
        stay = verdict.values
        if is_base_stay(stay):
            units = units_of(verdict)
            for site in {unit["rum_finess_geo"] for unit in units}:
                found = sites[site or "INCONNU", stay["exit_year"], stay["exit_month"]]
                here = [unit for unit in units if unit["rum_finess_geo"] == site]
                found.stays += 1
                found.unit_stays += len(here)
                found.nights += sum(int(unit["rum_partial_los"] or 0) for unit in here)
    return dict(sites)


@dataclass
class Share:
    """What a rate is made of. ``population`` counts stays of any format; ``stated``, those where the field is filled."""

    numerator: int = 0
    denominator: int = 0
    population: int = 0
    stated: int = 0
    conflicts: int = 0


Shares = dict[tuple[Value, str], Share]


def os_13(verdicts: Iterable[Verdict]) -> Shares:
    """OS_13 by (exit_year, variant). Formats without ``raac`` (224) only count in the population."""
    shares: Shares = defaultdict(Share)
    for stay in (verdict.values for verdict in verdicts if verdict.outcome == "accepted"):
        if stay["stay_type"] == "B" or stay["ghm_type"] != "C" or stay["ghm_cmd"] == "90":
            continue
        variants = ["v1", "v2_overnight"] if whole_number(stay["los_nights"]) > 0 else ["v1"]
        for variant in variants:
            share = shares[stay["exit_year"], variant]
            share.population += 1
            if "raac" not in stay:
                continue
            share.denominator += 1
            if stay["raac"] is not None:
                share.stated += 1
            if stay["raac"] == "1":
                share.numerator += 1
    return dict(shares)


def os_11(verdicts: Iterable[Verdict]) -> Shares:
    """OS_11 by (exit_year, variant). Formats without ``unscheduled`` (before 227) only count in the population."""
    shares: Shares = defaultdict(Share)
    for stay in (verdict.values for verdict in verdicts if verdict.outcome == "accepted"):
        if not is_base_stay(stay) or stay["ghm_cmd"] in ("14", "15") or whole_number(stay["session_count"]) != 0:
            continue
        for age, least in (("ge75", 75), ("gt75", 76)):
            if whole_number(stay["age_years"]) < least:
                continue
            unscheduled = stay.get("unscheduled")
            denominators = {
                "v1": unscheduled == "1" or came_by_emergency(stay),
                "v2": unscheduled in ("1", "2"),
                "v3": True,
            }
            for door, belongs in denominators.items():
                share = shares[stay["exit_year"], f"{age}_{door}"]
                share.population += 1
                if "unscheduled" not in stay:
                    continue
                if belongs:
                    share.denominator += 1
                    if unscheduled == "1" and came_from_home(stay):
                        share.numerator += 1
                if unscheduled is not None:
                    share.stated += 1
                if unscheduled == "1" and (stay.get("ed_passage") is not None or stay["entry_mode"] != "8"):
                    share.conflicts += 1
    return dict(shares)


def hpr_3_2(verdicts: Iterable[Verdict], sites: frozenset[str] = frozenset()) -> Shares:
    """HPR_3_2 by (exit_year, variant), for the whole establishment and, if it has any, for its labelled sites."""
    shares: Shares = defaultdict(Share)
    for verdict in (verdict for verdict in verdicts if verdict.outcome == "accepted"):
        stay = verdict.values
        if not is_base_stay(stay) or stay["entry_mode"] == "N" or stay["ghm_cmd"] == "15":
            continue
        places = ["whole"]
        if sites & {unit["rum_finess_geo"] for unit in units_of(verdict)}:
            places.append("any_rum")
        for place in places:
            for home in ("with_medical_social", "without_medical_social"):
                share = shares[stay["exit_year"], f"{place}_{home}"]
                share.population += 1
                if verdict.format in ("224", "225"):
                    continue
                share.denominator += 1
                if stay["entry_mode"] is not None:
                    share.stated += 1
                if came_from_home(stay) and (home == "with_medical_social" or stay["entry_provenance"] != "7"):
                    share.numerator += 1
    return dict(shares)


def hpr_4_3(verdicts: Iterable[Verdict], sites: frozenset[str] = frozenset()) -> Shares:
    """HPR_4_3 by (exit_year, variant). The last unit is the one of the highest number, else the last of the record."""
    shares: Shares = defaultdict(Share)
    for verdict in (verdict for verdict in verdicts if verdict.outcome == "accepted"):
        stay = verdict.values
        if not is_base_stay(stay) or stay["exit_mode"] == "9":
            continue
        units = units_of(verdict)
        _, _, last = max((int(unit["rum_number"] or 0), place, unit["rum_finess_geo"]) for place, unit in enumerate(units))
        places = ["whole"]
        if sites & {unit["rum_finess_geo"] for unit in units}:
            places.append("any_rum")
        if last in sites:
            places.append("last_rum")
        for place in places:
            share = shares[stay["exit_year"], place]
            share.population += 1
            share.denominator += 1
            if stay["exit_mode"] is not None:
                share.stated += 1
            if stay["exit_mode"] in ("6", "7") and stay["exit_destination"] == "6":
                share.numerator += 1
    return dict(shares)


def is_base_stay(stay: dict[str, Value]) -> bool:
    return stay["stay_type"] != "B" and stay["ghm_cmd"] not in ("90", "28")


def came_by_emergency(stay: dict[str, Value]) -> bool:
    return stay.get("ed_passage") in ("5", "U", "V") or stay["entry_provenance"] in ("5", "U")


def came_from_home(stay: dict[str, Value]) -> bool:
    by_the_door = stay.get("ed_passage") is None and stay["entry_provenance"] not in ("5", "U")
    return stay["entry_mode"] == "8" and by_the_door


def units_of(stay: Verdict) -> list[dict[str, str]]:
    """The fields of each unit of a stay, as text without blanks, in the order of the record."""
    rows = [row for row in formats()[str(stay.format)] if row["zone"] == "rum"]
    width = max(end(row) for row in rows)
    zone = stay.zones["rum"]
    units = [zone[start : start + width] for start in range(0, len(zone), width)]
    return [{row["field"]: unit[int(row["start"]) - 1 : end(row)].strip(" ") for row in rows} for unit in units]


def whole_number(value: Value) -> int:
    """A blank number counts as 0 in a sum."""
    return value if isinstance(value, int) else 0
