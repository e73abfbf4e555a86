"""Synthetic RSA files (PMSI MCO), for the demo, the benchmarks and the tests: true to format, about nobody.

A stay is a function of (seed, FINESS, year, month, index): the same recipe gives the same bytes on every machine, and
the file of a later month sends the stays of earlier months again, save the few that changed, vanished or came late.
Positions come from the layouts only. This module must never loop over rows, repeat a code list that `contracts_schema`
has, or take anything from a real record; its FINESS numbers lie in departments that do not exist.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt

from contracts_schema.layouts import Field, Layout, layouts

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.bytes_]
Keys = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Raw = npt.NDArray[np.void]
Columns = dict[str, Ints | Codes | bytes]

BLOCK = 65_536  # stays made at a time: bounds memory whatever the size of the file
BLANK = -1  # an int column's value for "not stated"
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

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


@dataclass(frozen=True)
class Recipe:
    """One cumulative transmission: January to ``months`` of ``year``, ``stays_per_month`` stays each.

    ``changed``, ``vanished`` and ``late`` are shares of the stays: regrouped or given one more DAS in a later month,
    gone in a later month, first seen after their month. At 0.0 each, the file has ``months * stays_per_month`` records.
    """

    finess: str
    year: int
    months: int
    stays_per_month: int
    seed: int
    version: str = "229"
    changed: float = 0.02
    vanished: float = 0.003
    late: float = 0.005


def fictional_finess(department: str = "99", number: int = 1) -> str:
    """A FINESS with a right Luhn key, in a department that does not exist (``2A99`` or ``2B99``: Corsican shape)."""
    body = f"{department}{number:0{8 - len(department)}d}"
    if len(body) != 8:
        raise ValueError(f"number {number} is too long for department {department}: 8 characters before the key")
    digits = [int(digit) for digit in body.replace("A", "1").replace("B", "2")]
    total = sum(digits[0::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return f"{body}{-total % 10}"


def sites(finess: str) -> list[str]:
    """The fictional geographic sites (ET) among which an establishment's units lie."""
    first = 900_000 + crc32(finess.encode()) % 30_000 * 3
    return [fictional_finess("99", first + rank) for rank in range(3)]


def records(recipe: Recipe, line_end: bytes = b"\r\n") -> Iterator[bytes]:
    """The file in blocks of whole lines, at most ``BLOCK`` stays each; record numbers run from 1."""
    number = 1
    for month in range(1, recipe.months + 1):
        for start in range(0, recipe.stays_per_month, BLOCK):
            keys = _keys(recipe, month, start, min(start + BLOCK, recipe.stays_per_month))
            keys = keys[_present(recipe, month, keys)]
            yield _block(recipe, month, keys, number, line_end)
            number += keys.size


def write_rsa(path: Path, recipe: Recipe, line_end: bytes = b"\r\n", defects: Mapping[int, str] | None = None) -> int:
    """Write the file, with the named defects at the given record indexes (from 0); returns the records made."""
    written = 0
    with path.open("wb") as out:
        for block in records(recipe, line_end):
            count = block.count(line_end)
            here = {index - written: name for index, name in (defects or {}).items() if 0 <= index - written < count}
            if here:
                damaged = damage(block.split(line_end)[:-1], here)
                block = b"".join(line + line_end for line in damaged)
            out.write(block)
            written += count
    return written


# --- draws: pure functions of a key and a name, so that one change never moves another -------------------------------


def _mix(values: Keys) -> Keys:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _keys(recipe: Recipe, month: int, start: int, stop: int) -> Keys:
    origin = f"{recipe.seed}/{recipe.finess}/{recipe.year}/{month}".encode()
    base = np.uint64(int.from_bytes(blake2b(origin, digest_size=8).digest(), "big"))
    return _mix(np.arange(start, stop, dtype=np.uint64) * _GOLDEN + base)


def _unit(keys: Keys, name: str) -> npt.NDArray[np.float64]:
    """Uniform in [0, 1)."""
    mixed = _mix(keys + np.uint64(crc32(name.encode()) << 17))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _below(keys: Keys, name: str, limit: Ints | int) -> Ints:
    return (_unit(keys, name) * limit).astype(np.int64)


def _around(keys: Keys, name: str, mean: npt.NDArray[np.float64], most: int) -> Ints:
    """Whole numbers with a long tail, whose mean is about ``mean``."""
    return np.minimum(-np.log1p(-_unit(keys, name)) * mean + 0.5 * (mean > 0), most).astype(np.int64)


def _choose(keys: Keys, name: str, weights: npt.NDArray[np.float64]) -> Ints:
    edges = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(edges, _unit(keys, name), side="right"), len(weights) - 1).astype(np.int64)


def _present(recipe: Recipe, month: int, keys: Keys) -> Mask:
    first = month + np.where(_unit(keys, "late") < recipe.late, 1 + _below(keys, "late by", 2), 0)
    gone = np.where(_unit(keys, "vanish") < recipe.vanished, month + 1 + _below(keys, "vanish after", 3), 99)
    return (first <= recipe.months) & (recipe.months < gone)


def _has_changed(recipe: Recipe, month: int, keys: Keys) -> Mask:
    return (_unit(keys, "change") < recipe.changed) & (recipe.months > month + _below(keys, "change after", 3))


# --- what a stay holds ------------------------------------------------------------------------------------------------


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
    usual = _choose(keys, name, np.where(modes == b"0", 0.0, weights))
    provisional = _choose(keys, name, np.where(modes == b"0", 1.0, 0.0))
    drawn = np.where(pie, provisional, usual)
    return modes[drawn], places[drawn]


def _stay(recipe: Recipe, month: int, keys: Keys) -> tuple[Columns, dict[str, Ints]]:
    """Fixed columns that need no knowledge of the zones, and the counts that size the zones."""
    roots, shares, severities, nights, das, acts, diagnoses, _ = zip(*_CASES, strict=True)
    case = _choose(keys, "case", np.array(shares, dtype=np.float64))
    root = np.array(roots, dtype="S5")[case]
    cmd, kind = root.astype("S2"), np.array([name[2] for name in roots], dtype="S1")[case]
    choices = np.array([len(letters) for letters in severities])[case]
    rank = _below(keys, "severity", choices)
    changed = _has_changed(recipe, month, keys)
    regrouped = changed & (choices > 1) & (_unit(keys, "change kind") < 0.5)
    letters = np.array([list(letters.ljust(5)) for letters in severities], dtype="S1")
    severity, now = letters[case, rank], letters[case, np.where(regrouped, (rank + 1) % choices, rank)]

    session, newborn, pie = cmd == b"28", cmd == b"15", _unit(keys, "pie")
    same_day = session | (severity == b"J")
    los = _around(keys, "nights", np.array(nights)[case], 180)
    los = np.where(same_day, 0, np.where(kind == b"C", np.maximum(los, 1), los))
    rum = np.where(los == 0, 1, 1 + np.searchsorted([0.55, 0.83, 0.95, 0.99], _unit(keys, "rums"), side="right"))
    counts = {
        "rum_count": rum.astype(np.int64),
        "das_count": _around(keys, "das", np.array(das)[case], 60) + (changed & ~regrouped),
        "act_count": _around(keys, "acts", np.array(acts)[case], 90),
        "pgv_auth_count": np.maximum(_below(keys, "pgv", 40) - 36, 0),
        "radiotherapy_zone_count": np.where(root == b"28Z18", 1 + _below(keys, "rt", 2), 0),
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
        "session_count": np.where(session, np.maximum(_below(keys, "sessions", 24) - 10, 1), BLANK),
        "exit_month": np.full(keys.size, month),
        "exit_year": np.full(keys.size, recipe.year),
        "los_nights": los,
        "stay_type": np.where(pie < 0.01, b"B", np.where(pie < 0.02, b"A", b"")),
        "ghs_number": 1000 + case * 20 + rank,
        "high_outlier_days": np.maximum(los - 40, 0),
        "exb_days": np.zeros(keys.size, dtype=np.int64),
        "main_diagnosis": np.array(diagnoses, dtype="S6")[case],
        "dp_rum_number": 1 + _below(keys, "dp rum", rum),
        "coding_confirmed": np.where(_unit(keys, "confirmed") < 0.05, b"1", b""),
    }
    for prefix, letter in (("local_ghm_", severity), ("ghm_", now)):
        number = np.array([name[3:] for name in roots], dtype="S2")[case]
        columns |= {f"{prefix}cmd": cmd, f"{prefix}type": kind, f"{prefix}number": number, f"{prefix}severity": letter}
    columns |= _person(keys, cmd, same_day)
    columns |= _passage(recipe, keys, columns, rum, quiet=same_day | newborn)
    return columns, counts


def _person(keys: Keys, cmd: Codes, same_day: Mask) -> Columns:
    newborn, obstetric = cmd == b"15", cmd == b"14"
    infant = ~newborn & ~obstetric & ~same_day & (_unit(keys, "infant") < 0.01)
    years = np.where(obstetric, 18 + _below(keys, "age", 27), 2 + (98 * _unit(keys, "age") ** 0.6).astype(np.int64))
    days = np.where(infant, 1 + _below(keys, "age in days", 364), np.where(newborn, 0, BLANK))
    commune = _below(keys, "commune", 200)
    return {
        "age_years": np.where(newborn | infant, BLANK, years),
        "age_days": days,
        "sex": np.where(obstetric | (_unit(keys, "sex") < 0.52), b"2", b"1"),
        "residence_geo_code": 99_000 + commune,
        "postal_code": 99_000 + commune // 3 * 3,
        "entry_weight_g": np.where(newborn, 2_200 + _below(keys, "weight", 2_000), BLANK),
        "gestational_age_weeks": np.where(newborn | obstetric, 35 + _below(keys, "weeks", 7), BLANK),
        "last_menses_delay_days": np.where(obstetric, 245 + _below(keys, "delay", 45), BLANK),
    }


def _passage(recipe: Recipe, keys: Keys, stay: Columns, rum: Ints, quiet: Mask) -> Columns:
    """How the stay began and ended. Before format 228 the emergency room is told by the provenance."""
    performing = np.asarray(stay["stay_type"]) == b"B"
    newborn, surgical = np.asarray(stay["ghm_cmd"]) == b"15", np.asarray(stay["ghm_type"]) == b"C"
    mode, place = _mode_and_place(keys, "entry", "mco_entry_pairs.csv", "first_or_only_rum", performing)
    mode, place = np.where(newborn & ~performing, b"N", mode), np.where(newborn & ~performing, b"", place)
    emergency = (mode == b"8") & (place == b"") & ~quiet & (_unit(keys, "emergency") < 0.45)
    door = np.where(emergency, np.array([b"5", b"U", b"V"])[_choose(keys, "door", np.array([0.85, 0.1, 0.05]))], b"")
    if "ed_passage" not in {field.name for field in _layout(recipe.version).fields}:
        place = np.where(emergency, np.where(door == b"V", b"5", door), place)
    urgent = np.where(emergency | (_unit(keys, "urgent") < 0.12), b"1", b"2")
    urgent = np.where((rum > 1) & (_unit(keys, "disagree") < 0.03), b"X", urgent)
    exit_mode, destination = _mode_and_place(keys, "exit", "mco_exit_pairs.csv", "last_or_only_rum", performing)
    home = quiet & ~performing
    exit_mode, destination = np.where(home, b"8", exit_mode), np.where(home, b"", destination)
    left_otherwise = np.isin(exit_mode, [b"0", b"7", b"9"])
    enhanced = np.where(_unit(keys, "raac") < 0.4, np.where(left_otherwise, b"2", b"1"), b"0")
    return {
        "entry_mode": mode,
        "entry_provenance": place,
        "exit_mode": exit_mode,
        "exit_destination": destination,
        "ed_passage": door,
        "unscheduled": np.where(_unit(keys, "unstated") < 0.04, b"", urgent),
        "raac": np.where(surgical, enhanced, b""),
    }


# --- the zones --------------------------------------------------------------------------------------------------------


def _children(counts: Ints) -> tuple[Ints, Ints]:
    """For each child its parent's row and its own rank under that parent, both from 0."""
    parent = np.repeat(np.arange(counts.size), counts)
    return parent, np.arange(parent.size) - np.repeat(np.cumsum(counts) - counts, counts)


def _zones(recipe: Recipe, keys: Keys, stay: Columns, counts: dict[str, Ints]) -> dict[str, Columns]:
    """Columns of every zone. A stay's children fall to its RUMs in order, unevenly; the sums hold by construction."""
    los, lean = np.asarray(stay["los_nights"]), 0.5 + 1.5 * _unit(keys, "lean")
    rums = counts["rum_count"]
    parent, rank = _children(rums)
    first = np.cumsum(rums) - rums

    def shared_out(name: str) -> Ints:
        owner, order = _children(counts[name])
        part = ((order + 0.5) / np.maximum(counts[name], 1)[owner]) ** lean[owner]
        return np.bincount(first[owner] + (part * rums[owner]).astype(np.int64), minlength=parent.size).astype(np.int64)

    key = _mix(keys[parent] + (rank + 1).astype(np.uint64) * _GOLDEN)
    night = [np.rint(los[parent] * ((rank + end) / rums[parent]) ** lean[parent]).astype(np.int64) for end in (0, 1)]
    is_main = rank + 1 == np.asarray(stay["dp_rum_number"])[parent]
    intensive = (rums[parent] > 1) & (_unit(key, "intensive") < 0.08)
    rum: Columns = {
        "rum_number": rank + 1,
        "rum_unit_number": 1 + _below(key, "unit", 40),
        "rum_finess_geo": np.array(sites(recipe.finess), dtype="S9")[_below(keys, "site", 3)[parent]],
        "rum_dp": np.where(is_main, np.asarray(stay["main_diagnosis"])[parent], _DAS[_below(key, "dp", _DAS.size)]),
        "rum_igs2": np.where(intensive, 15 + _below(key, "igs2", 80), BLANK),
        "rum_das_count": shared_out("das_count"),
        "rum_act_count": shared_out("act_count"),
        "rum_partial_los": night[1] - night[0],
        "rum_auth_type_1": np.where(intensive, b"01A", _UNITS[_below(key, "type", _UNITS.size)]),
        "rum_suppl_kind_1": np.where(intensive, b"01", b""),
        "rum_suppl_count_1": np.where(intensive, night[1] - night[0], BLANK),
    }
    stay["suppl_rea"] = np.bincount(parent[intensive], minlength=keys.size).astype(np.int64)
    return {"rum": rum} | _small_zones(keys, counts) | {"das": _das(keys, counts), "act": _act(keys, los, counts)}


def _small_zones(keys: Keys, counts: dict[str, Ints]) -> dict[str, Columns]:
    parent, rank = _children(counts["pgv_auth_count"])
    beam, _ = _children(counts["radiotherapy_zone_count"])
    return {
        "pgv": {"pgv_auth_type": 1 + (_below(keys, "pgv type", 20)[parent] + rank) % 20},
        "radiotherapy": {
            "rt_suppl_code": 9_500 + _below(keys, "rt code", 25)[beam],
            "rt_suppl_count": 1 + _below(keys, "rt number", 30)[beam],
        },
    }


def _das(keys: Keys, counts: dict[str, Ints]) -> Columns:
    parent, rank = _children(counts["das_count"])
    return {"das_code": _DAS[(_below(keys, "first das", _DAS.size)[parent] + rank * 7) % _DAS.size]}


def _act(keys: Keys, los: Ints, counts: dict[str, Ints]) -> Columns:
    """The case's own act comes first, the others in the order of the days."""
    parent, rank = _children(counts["act_count"])
    own = np.array([case[-1] for case in _CASES], dtype="S7")
    case = _choose(keys, "case", np.array([case[1] for case in _CASES], dtype=np.float64))
    key = _mix(keys[parent] + (rank + 1).astype(np.uint64) * _GOLDEN)
    other = _ACTS[_below(key, "act", _ACTS.size)]
    return {
        "act_delay_days": (los[parent] * (rank / np.maximum(counts["act_count"], 1)[parent])).astype(np.int64),
        "act_ccam": np.where(rank == 0, own[case][parent], other),
        "act_phase": b"0",
        "act_activity": np.where((rank > 0) & (_unit(key, "activity") < 0.15), b"4", b"1"),
        "act_quantity": np.where(_unit(key, "quantity") < 0.05, 2, 1),
        "act_date_compatible": b"1",
    }


# --- bytes ------------------------------------------------------------------------------------------------------------


def _layout(version: str) -> Layout:
    return layouts("MCO", "RSA")[version]


def _digits(values: Ints, width: int) -> Codes:
    """Zero-filled decimal text; negative is blank."""
    text = np.empty((values.size, width), dtype=np.uint8)
    rest = values.astype(np.int64)
    for place in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        text[:, place] = digit + 48
    text[values < 0] = 32
    return text.view(f"S{width}").ravel()


def _table(fields: tuple[Field, ...], width: int, columns: Columns, rows: int) -> Raw:
    """Rows of ``width`` bytes; a field that no column names is blank, or zeros for a number of supplements."""
    shape = np.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [f"S{field.length}" for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": width,
        }
    )
    table = np.zeros(rows, dtype=shape)
    for field in fields:
        supplement = field.type == "int" and field.name.startswith("suppl_")
        value = columns.get(field.name, b"0" * field.length if supplement else b"")
        is_number = isinstance(value, np.ndarray) and value.dtype.kind == "i"
        table[field.name] = _digits(value, field.length) if is_number else value  # type: ignore[arg-type]
    raw = table.view(np.uint8)
    raw[raw == 0] = 32
    return table.view(f"V{width}")


def _scatter(out: npt.NDArray[np.uint8], positions: Ints, rows: Raw) -> None:
    """Copy each row to its byte position: one view of ``out`` as overlapping records, one indexed assignment."""
    if rows.size:
        width = rows.dtype.itemsize
        view = np.ndarray((out.size - width + 1,), dtype=rows.dtype, buffer=out, strides=(1,))
        view[positions] = rows


def _block(recipe: Recipe, month: int, keys: Keys, first_number: int, line_end: bytes) -> bytes:
    layout = _layout(recipe.version)
    columns, counts = _stay(recipe, month, keys)
    zones = _zones(recipe, keys, columns, counts)
    columns |= {"record_number": np.arange(first_number, first_number + keys.size), **counts}
    lengths = np.full(keys.size, layout.fixed_length + len(line_end))
    for zone in layout.zones:
        lengths += counts[zone.count_field] * zone.width
    position = np.cumsum(lengths) - lengths
    out = np.empty(int(lengths.sum()), dtype=np.uint8)
    _scatter(out, position, _table(layout.fields, layout.fixed_length, columns, keys.size))
    position = position + layout.fixed_length
    for zone in layout.zones:
        parent, rank = _children(counts[zone.count_field])
        rows = _table(zone.fields, zone.width, zones[zone.name], rank.size)
        _scatter(out, position[parent] + rank * zone.width, rows)
        position = position + counts[zone.count_field] * zone.width
    _scatter(out, position, np.full(keys.size, np.void(line_end)))
    return out.tobytes()


# --- damage -----------------------------------------------------------------------------------------------------------


def damage(lines: list[bytes], plan: Mapping[int, str]) -> list[bytes]:
    """The lines with the named defects of ``DEFECTS`` at the given indexes; some defects add a line after their own."""
    parts = (DEFECTS[plan[index]](line) if index in plan else [line] for index, line in enumerate(lines))
    return [line for part in parts for line in part]


def _layout_of(line: bytes) -> Layout:
    return next(layout for layout in layouts("MCO", "RSA").values() if _version(line, layout) == layout.version)


def _version(line: bytes, layout: Layout) -> str:
    at = layout.detect_offset or 0
    return line[at : at + len(layout.version)].decode("latin-1")


def _over(line: bytes, offset: int, new: bytes) -> bytes:
    return line[:offset] + new + line[offset + len(new) :]


def _set(line: bytes, name: str, text: str) -> bytes:
    field = _layout_of(line).field(name)
    return _over(line, field.offset, text.rjust(field.length).encode("latin-1"))


def _in_filler(line: bytes, new: bytes, replaced: int = 1) -> bytes:
    filler = next(field for field in reversed(_layout_of(line).fields) if field.is_filler)
    return line[: filler.offset] + new + line[filler.offset + replaced :]


def _one_more_act_in_the_first_rum(line: bytes) -> bytes:
    layout, offset = _layout_of(line), 0
    for zone in layout.zones:
        if zone.name == "rum":
            field = next(field for field in zone.fields if field.name == "rum_act_count")
            at = layout.fixed_length + offset + field.offset
            return _over(line, at, b"%0*d" % (field.length, int(line[at : at + field.length]) + 1))
        count = layout.field(zone.count_field)
        offset += zone.width * int(line[count.offset : count.offset + count.length])
    raise LookupError("layout without RUM")


DEFECTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "control_byte": lambda line: [_in_filler(line, b"\x07")],
    "unknown_format": lambda line: [_set(line, "format_version", "230")],
    "cut_in_fixed_part": lambda line: [line[: _layout_of(line).fixed_length - 30]],
    "cut_in_variable_part": lambda line: [line[:-25]],
    "blanks_stripped": lambda line: [line[:-1].rstrip(b" ")],
    "extra_bytes": lambda line: [line + b"XYZ"],
    "extra_blanks": lambda line: [line + b"   "],
    "other_finess": lambda line: [_set(line, "finess", fictional_finess("99", 999_999))],
    "count_not_numeric": lambda line: [_set(line, "das_count", "0A")],
    "sum_mismatch": lambda line: [_one_more_act_in_the_first_rum(line)],
    "month_13": lambda line: [_set(line, "exit_month", "13")],
    "age_a5": lambda line: [_set(line, "age_years", "A5")],
    "same_line_twice": lambda line: [line, line],
    "same_record_number": lambda line: [line, _set(line, "sex", "3")],
    # the line must not end with a blank, or the byte too many would be one
    "e_acute_in_utf8": lambda line: [_in_filler(_over(line, len(line) - 1, b"1"), "é".encode())],
    "e_acute_in_latin1": lambda line: [_in_filler(line, "é".encode("latin-1"))],
    "quote": lambda line: [_in_filler(line, b'"')],
    "comma": lambda line: [_in_filler(line, b",")],
    "blank_line_after": lambda line: [line, b""],
    "line_of_spaces_after": lambda line: [line, b" \t  "],
    "end_of_file_mark_after": lambda line: [line, b"\x1a"],
    "end_of_file_mark_in_line": lambda line: [line + b"\x1a"],
    "byte_order_mark": lambda line: [b"\xef\xbb\xbf" + line],
}
