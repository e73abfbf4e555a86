"""What synthetic stays hold: an invented mix of cases, their persons, how they begin and end, their units, diagnoses and acts.

Must never loop over rows, or repeat a code list that `contracts_schema` has.
"""

import csv
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from connectors.synthetic import Recipe, sites
from connectors.synthetic_draws import (
    GOLDEN,
    Codes,
    Ints,
    Keys,
    Mask,
    around,
    below,
    choose,
    has_changed,
    mix,
    unit,
)
from contracts_schema.layouts import Layout, layouts

Columns = dict[str, Ints | Codes | bytes]
BLANK = -1  # an int column's value for "not stated"
# An invented mix: root of the GHM, share, severities, mean nights, mean DAS, mean acts, main diagnosis, main act.
_CASES = (
    ("28Z07", 80, "Z", 0.0, 1.2, 0.9, "Z511", "ZZLF900"),
    ("28Z04", 60, "Z", 0.0, 1.2, 1.2, "Z491", "JVJF004"),
    ("28Z18", 10, "Z", 0.0, 1.0, 1.8, "Z5101", "ZZNL050"),
    ("14Z13", 25, "ABCD", 3.0, 3.0, 3.5, "O800", "JQGD010"),
    ("14Z14", 10, "ABCD", 3.5, 3.0, 3.5, "O800", "JQGD012"),
    ("14C08", 10, "ABCD", 4.5, 4.0, 7.1, "O820", "JQGA004"),
    ("15M05", 35, "ABCD", 3.0, 1.5, 1.2, "Z3800", "DZQM006"),
    ("90Z00", 5, "Z", 2.0, 2.0, 2.4, "R69", "DEQP003"),
    ("02C05", 60, "J12", 1.0, 1.5, 3.5, "H251", "BFGA004"),
    ("08C48", 25, "1234", 6.0, 6.5, 11.8, "M161", "NEKA020"),
    ("08C24", 25, "1234", 6.0, 6.0, 11.8, "M171", "NFKA007"),
    ("06C04", 12, "1234", 9.0, 8.5, 16.5, "C187", "HHFA002"),
    ("06C07", 12, "J123", 4.0, 5.0, 10.6, "K430", "LMMA006"),
    ("06C09", 15, "J123", 3.0, 3.5, 8.3, "K358", "HHFA011"),
    ("06C16", 10, "1234", 7.0, 8.0, 14.2, "E6601", "HFFC018"),
    ("08C14", 20, "J12", 2.0, 2.5, 7.1, "M201", "NDPA002"),
    ("12C04", 15, "1234", 5.0, 5.0, 9.4, "N40", "JGFA015"),
    ("13C15", 15, "J12", 2.0, 2.5, 7.1, "D250", "JKFA018"),
    ("05C10", 20, "1234", 8.0, 8.5, 17.7, "I350", "DBKA006"),
    ("11C02", 10, "1234", 6.0, 7.0, 13.0, "C64", "JAFA023"),
    ("07C14", 25, "J123", 3.0, 4.0, 9.4, "K802", "HMFC004"),
    ("03C10", 15, "J12", 1.5, 1.5, 4.7, "J350", "FAFA001"),
    ("01C04", 8, "1234", 11.0, 9.0, 18.9, "S0650", "ABJA002"),
    ("09C04", 12, "J12", 2.5, 3.0, 5.9, "C504", "QEFA004"),
    ("06K04", 60, "J", 0.0, 1.8, 2.9, "Z121", "HHQE005"),
    ("05K10", 25, "T12", 2.5, 5.0, 7.1, "I2510", "DDQH009"),
    ("06K02", 10, "12T", 3.0, 5.5, 7.1, "K920", "HEQE002"),
    ("04M05", 50, "T1234", 8.0, 7.5, 7.1, "J189", "ZBQK002"),
    ("05M09", 55, "T1234", 8.0, 8.0, 7.1, "I500", "DZQM006"),
    ("01M30", 35, "T1234", 9.0, 8.0, 9.4, "I639", "ACQN001"),
    ("06M03", 30, "T12", 3.0, 4.0, 4.7, "A099", "ZCQM008"),
    ("11M04", 35, "T1234", 6.0, 6.0, 4.7, "N10", "ZCQM008"),
    ("10M02", 25, "T1234", 6.0, 6.0, 3.5, "E1190", "DEQP003"),
    ("23M20", 40, "T1", 1.0, 3.0, 3.5, "R55", "DEQP003"),
    ("05M06", 30, "T1234", 4.0, 5.0, 7.1, "I209", "DDQH009"),
    ("08M25", 20, "T1234", 5.0, 5.0, 4.7, "M545", "LFQK002"),
    ("23Z02", 20, "Z", 11.0, 7.5, 3.5, "Z515", "ZCQK002"),
    ("20Z05", 25, "T", 1.0, 3.0, 2.4, "F100", "DEQP003"),
)
_DAS = np.array(
    b"I10 E119 E660 E785 N183 N189 I489 I500 I2510 J449 J960 F329 F03 R296 R410 Z864 Z867 Z921 Z950 Z955 E876 E871 "
    b"D649 D62 K590 N390 B962 T814 Y838 Z290 Z391 L891 E440 G20 U822+0 Z515 F1024".split(),
)
_ACTS = np.array(
    b"DEQP003 ZBQK002 ZCQM008 DZQM006 ACQN001 YYYY600 ZZQK024 GLQP012 GLLD015 EQLF003 EPLF002 FELF011 DEQP007 EBQM001 "
    b"LFQK002 ZCQK002 HEQE002 ANQP008".split(),
)
_UNITS = np.array([b"01A", b"03A", b"07A", b"10A", b"13A", b"14A", b"29", b"53P"], dtype="S4")
_ZERO_FLAGS = ("birth_centre_flag", "avastin_flag", "ghs_reduced_flag", "defibrillator_suppl_flag")


def layout_of(version: str) -> Layout:
    """The layout of an RSA format."""
    return layouts("MCO", "RSA")[version]


@cache
def _pairs(list_name: str, valid_where: str) -> tuple[Codes, Codes, npt.NDArray[np.float64]]:
    """Mode and place of the pairs valid for a stay of one RUM or more, with a weight: home first, the rest rare."""
    source = files("contracts_schema") / "pmsi" / "codes" / list_name
    with source.open(encoding="utf-8") as lines:
        head, *pairs = csv.reader(lines)
    rows = [(pair[0], pair[1]) for pair in pairs if pair[head.index(valid_where)].startswith("ok")]
    weights = {("8", ""): 80.0, ("8", "7"): 5.0, ("9", ""): 2.5, ("8", "5"): 0.0, ("8", "U"): 0.0, ("N", ""): 0.0}
    modes, places = (np.array([row[column] for row in rows], dtype="S1") for column in (0, 1))
    return modes, places, np.array([weights.get(row, 1.0) for row in rows])


def _mode_and_place(keys: Keys, name: str, list_name: str, valid_where: str, pie: Mask) -> tuple[Codes, Codes]:
    modes, places, weights = _pairs(list_name, valid_where)
    usual = choose(keys, name, np.where(modes == b"0", 0.0, weights))
    provisional = choose(keys, name, np.where(modes == b"0", 1.0, 0.0))
    drawn = np.where(pie, provisional, usual)
    return modes[drawn], places[drawn]


def stay_of(recipe: Recipe, month: int, keys: Keys) -> tuple[Columns, dict[str, Ints]]:
    """Fixed columns that need no knowledge of the zones, and the counts that size the zones."""
    roots, shares, severities, nights, das, acts, diagnoses, _ = zip(*_CASES, strict=True)
    case = choose(keys, "case", np.array(shares, dtype=np.float64))
    root = np.array(roots, dtype="S5")[case]
    cmd, kind = root.astype("S2"), np.array([name[2] for name in roots], dtype="S1")[case]
    choices = np.array([len(letters) for letters in severities])[case]
    rank = below(keys, "severity", choices)
    changed = has_changed(recipe, month, keys)
    regrouped = changed & (choices > 1) & (unit(keys, "change kind") < 0.5)
    letters = np.array([list(letters.ljust(5)) for letters in severities], dtype="S1")
    severity, now = letters[case, rank], letters[case, np.where(regrouped, (rank + 1) % choices, rank)]

    session, newborn, pie = cmd == b"28", cmd == b"15", unit(keys, "pie")
    same_day = session | (severity == b"J")
    los = around(keys, "nights", np.array(nights)[case], 180)
    los = np.where(same_day, 0, np.where(kind == b"C", np.maximum(los, 1), los))
    rum = np.where(los == 0, 1, 1 + np.searchsorted([0.55, 0.83, 0.95, 0.99], unit(keys, "rums"), side="right"))
    counts = {
        "rum_count": rum.astype(np.int64),
        "das_count": around(keys, "das", np.array(das)[case], 60) + (changed & ~regrouped),
        "act_count": around(keys, "acts", np.array(acts)[case], 90),
        "pgv_auth_count": np.maximum(below(keys, "pgv", 40) - 36, 0),
        "radiotherapy_zone_count": np.where(root == b"28Z18", 1 + below(keys, "rt", 2), 0),
    }
    columns: Columns = dict.fromkeys(_ZERO_FLAGS, b"0")
    columns |= {
        "finess": recipe.finess.encode(),
        "format_version": recipe.version.encode(),
        "rss_format_version": b"022",
        "tariff_sequence": b"001",
        "local_return_code": b"000",
        "return_code": np.where(cmd == b"90", b"080", b"000"),
        "local_class_version": b"11",
        "class_version": b"11",
        "session_count": np.where(session, np.maximum(below(keys, "sessions", 24) - 10, 1), BLANK),
        "exit_month": np.full(keys.size, month),
        "exit_year": np.full(keys.size, recipe.year),
        "los_nights": los,
        "stay_type": np.where(pie < 0.01, b"B", np.where(pie < 0.02, b"A", b"")),
        "ghs_number": 1000 + case * 20 + rank,
        "high_outlier_days": np.maximum(los - 40, 0),
        "exb_days": np.zeros(keys.size, dtype=np.int64),
        "main_diagnosis": np.array(diagnoses, dtype="S6")[case],
        "dp_rum_number": 1 + below(keys, "dp rum", rum),
        "coding_confirmed": np.where(unit(keys, "confirmed") < 0.05, b"1", b""),
    }
    for prefix, letter in (("local_ghm_", severity), ("ghm_", now)):
        number = np.array([name[3:] for name in roots], dtype="S2")[case]
        columns |= {f"{prefix}cmd": cmd, f"{prefix}type": kind, f"{prefix}number": number, f"{prefix}severity": letter}
    columns |= _person(keys, cmd, same_day)
    columns |= _passage(recipe, keys, columns, rum, quiet=same_day | newborn)
    return columns, counts


def _person(keys: Keys, cmd: Codes, same_day: Mask) -> Columns:
    newborn, obstetric = cmd == b"15", cmd == b"14"
    infant = ~newborn & ~obstetric & ~same_day & (unit(keys, "infant") < 0.01)
    years = np.where(obstetric, 18 + below(keys, "age", 27), 2 + (98 * unit(keys, "age") ** 0.6).astype(np.int64))
    days = np.where(infant, 1 + below(keys, "age in days", 364), np.where(newborn, 0, BLANK))
    commune = below(keys, "commune", 200)
    return {
        "age_years": np.where(newborn | infant, BLANK, years),
        "age_days": days,
        "sex": np.where(obstetric | (unit(keys, "sex") < 0.52), b"2", b"1"),
        "residence_geo_code": 99_000 + commune,
        "postal_code": 99_000 + commune // 3 * 3,
        "entry_weight_g": np.where(newborn, 2_200 + below(keys, "weight", 2_000), BLANK),
        "gestational_age_weeks": np.where(newborn | obstetric, 35 + below(keys, "weeks", 7), BLANK),
        "last_menses_delay_days": np.where(obstetric, 245 + below(keys, "delay", 45), BLANK),
    }


def _passage(recipe: Recipe, keys: Keys, stay: Columns, rum: Ints, quiet: Mask) -> Columns:
    """How the stay began and ended. Before format 228 the emergency room is told by the provenance."""
    performing = np.asarray(stay["stay_type"]) == b"B"
    newborn, surgical = np.asarray(stay["ghm_cmd"]) == b"15", np.asarray(stay["ghm_type"]) == b"C"
    mode, place = _mode_and_place(keys, "entry", "mco_entry_pairs.csv", "first_or_only_rum", performing)
    mode, place = np.where(newborn & ~performing, b"N", mode), np.where(newborn & ~performing, b"", place)
    emergency = (mode == b"8") & (place == b"") & ~quiet & (unit(keys, "emergency") < 0.45)
    door = np.where(emergency, np.array([b"5", b"U", b"V"])[choose(keys, "door", np.array([0.85, 0.1, 0.05]))], b"")
    if "ed_passage" not in {field.name for field in layout_of(recipe.version).fields}:
        place = np.where(emergency, np.where(door == b"V", b"5", door), place)
    urgent = np.where(emergency | (unit(keys, "urgent") < 0.12), b"1", b"2")
    urgent = np.where((rum > 1) & (unit(keys, "disagree") < 0.03), b"X", urgent)
    exit_mode, destination = _mode_and_place(keys, "exit", "mco_exit_pairs.csv", "last_or_only_rum", performing)
    home = quiet & ~performing
    exit_mode, destination = np.where(home, b"8", exit_mode), np.where(home, b"", destination)
    left_otherwise = np.isin(exit_mode, [b"0", b"7", b"9"])
    enhanced = np.where(unit(keys, "raac") < 0.4, np.where(left_otherwise, b"2", b"1"), b"0")
    return {
        "entry_mode": mode,
        "entry_provenance": place,
        "exit_mode": exit_mode,
        "exit_destination": destination,
        "ed_passage": door,
        "unscheduled": np.where(unit(keys, "unstated") < 0.04, b"", urgent),
        "raac": np.where(surgical, enhanced, b""),
    }


def children(counts: Ints) -> tuple[Ints, Ints]:
    """For each child its parent's row and its own rank under that parent, both from 0."""
    parent = np.repeat(np.arange(counts.size), counts)
    return parent, np.arange(parent.size) - np.repeat(np.cumsum(counts) - counts, counts)


def zones_of(recipe: Recipe, keys: Keys, stay: Columns, counts: dict[str, Ints]) -> dict[str, Columns]:
    """Columns of every zone. A stay's children fall to its RUMs in order, unevenly; the sums hold by construction."""
    los, lean = np.asarray(stay["los_nights"]), 0.5 + 1.5 * unit(keys, "lean")
    rums = counts["rum_count"]
    parent, rank = children(rums)
    first = np.cumsum(rums) - rums

    def shared_out(name: str) -> Ints:
        owner, order = children(counts[name])
        part = ((order + 0.5) / np.maximum(counts[name], 1)[owner]) ** lean[owner]
        return np.bincount(first[owner] + (part * rums[owner]).astype(np.int64), minlength=parent.size).astype(np.int64)

    key = mix(keys[parent] + (rank + 1).astype(np.uint64) * GOLDEN)
    night = [np.rint(los[parent] * ((rank + end) / rums[parent]) ** lean[parent]).astype(np.int64) for end in (0, 1)]
    is_main = rank + 1 == np.asarray(stay["dp_rum_number"])[parent]
    intensive = (rums[parent] > 1) & (unit(key, "intensive") < 0.08)
    rum: Columns = {
        "rum_number": rank + 1,
        "rum_unit_number": 1 + below(key, "unit", 40),
        "rum_finess_geo": np.array(sites(recipe.finess), dtype="S9")[below(keys, "site", 3)[parent]],
        "rum_dp": np.where(is_main, np.asarray(stay["main_diagnosis"])[parent], _DAS[below(key, "dp", _DAS.size)]),
        "rum_igs2": np.where(intensive, 15 + below(key, "igs2", 80), BLANK),
        "rum_das_count": shared_out("das_count"),
        "rum_act_count": shared_out("act_count"),
        "rum_partial_los": night[1] - night[0],
        "rum_auth_type_1": np.where(intensive, b"01A", _UNITS[below(key, "type", _UNITS.size)]),
        "rum_suppl_kind_1": np.where(intensive, b"01", b""),
        "rum_suppl_count_1": np.where(intensive, night[1] - night[0], BLANK),
    }
    stay["suppl_rea"] = np.bincount(parent[intensive], minlength=keys.size).astype(np.int64)
    return {"rum": rum} | _small_zones(keys, counts) | {"das": _das(keys, counts), "act": _act(keys, los, counts)}


def _small_zones(keys: Keys, counts: dict[str, Ints]) -> dict[str, Columns]:
    parent, rank = children(counts["pgv_auth_count"])
    beam, _ = children(counts["radiotherapy_zone_count"])
    return {
        "pgv": {"pgv_auth_type": 1 + (below(keys, "pgv type", 20)[parent] + rank) % 20},
        "radiotherapy": {
            "rt_suppl_code": 9_500 + below(keys, "rt code", 25)[beam],
            "rt_suppl_count": 1 + below(keys, "rt number", 30)[beam],
        },
    }


def _das(keys: Keys, counts: dict[str, Ints]) -> Columns:
    parent, rank = children(counts["das_count"])
    return {"das_code": _DAS[(below(keys, "first das", _DAS.size)[parent] + rank * 7) % _DAS.size]}


def _act(keys: Keys, los: Ints, counts: dict[str, Ints]) -> Columns:
    """The case's own act comes first, the others in the order of the days."""
    parent, rank = children(counts["act_count"])
    own = np.array([case[-1] for case in _CASES], dtype="S7")
    case = choose(keys, "case", np.array([case[1] for case in _CASES], dtype=np.float64))
    key = mix(keys[parent] + (rank + 1).astype(np.uint64) * GOLDEN)
    other = _ACTS[below(key, "act", _ACTS.size)]
    return {
        "act_delay_days": (los[parent] * (rank / np.maximum(counts["act_count"], 1)[parent])).astype(np.int64),
        "act_ccam": np.where(rank == 0, own[case][parent], other),
        "act_phase": b"0",
        "act_activity": np.where((rank > 0) & (unit(key, "activity") < 0.15), b"4", b"1"),
        "act_quantity": np.where(unit(key, "quantity") < 0.05, 2, 1),
        "act_date_compatible": b"1",
    }
