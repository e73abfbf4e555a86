"""No value of a patient lies where it may not: recognisable ones are planted, then searched for in all a hub says and keeps.

Each value is found in the segments and views that are meant to hold it, which shows that the search sees, and nowhere else:
not in the log, a product, a manifest, a reject report, the words of a command or of an error.
"""

import io
import itertools
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from conftest import Said

from checks.rows import Gate
from connectors.synthetic import Recipe, fictional_finess
from connectors.synthetic_families import transmission, write_archive
from connectors.synthetic_rsa import records
from contracts_schema.layouts import Field, layout
from flows import cli
from flows.hub import TEST_CLOCK, Hub, open_hub
from warehouse.heads import FOLDED
from warehouse.log import canonical

FINESS, OTHER, THIRD, FOURTH = (fictional_finess(number=number) for number in range(1, 5))
RECIPE = Recipe(FINESS, 2025, 3, 120, seed=1, changed=0.0, vanished=0.0, late=0.0)
NAME = "{finess}.2025.3.{ending}"
LAYOUT = {
    "rsa": "mco_rsa_229", "ano": "mco_ano_y2022", "med": "mco_fichcomp_med_06", "dmip": "mco_fichcomp_dmip_02",
    "ium": "mco_ium_90", "tra": "mco_tra_csv",
}  # fmt: skip

SOUND = {
    "rsa": {"main_diagnosis": "ZPLANT", "postal_code": "PL4NT"},
    "ano": {"link_index": "LINKPLANTED".ljust(32, "0"), "birth_date": "31121899", "stay_entry_date": "29021904",
            "anonymous_hospitalisation_id": "HOSPLANT", "encrypted_zone": "ENCRYPTEDPLANTED".ljust(344)},
    "med": {"ucd_code": "UCDPLANTED013"},
    "dmip": {"lpp_code": "LPPPLANT9"},
    "ium": {"finess_geo": "GEOPLANT9"},
    "tra": {"rss_number": "RSSPLANTED", "admin_stay_number": "NDAPLANTED", "stay_exit_date": "28021904"},
}  # fmt: skip
"""By family, what is planted in a line that is accepted."""

BAD = {
    "rsa": {"main_diagnosis": "ZSPOIL", "exit_month": "13"},
    "ano": {"link_index": "LINKSPOILT".ljust(32, "0"), "birth_date": "30121899", "refund_rate": "RATE!"},
    "med": {"ucd_code": "UCDSPOILT0013", "administered_quantity": "MANYSPOILT"},
    "dmip": {"lpp_code": "LPPSPOIL9", "period_month": "13"},
    "ium": {"finess_geo": "GEOSPOIL9", "bed_count": "BED"},
    "tra": {"admin_stay_number": "NDASPOILT", "stay_exit_date": "SPOILT99"},
}  # fmt: skip
"""By family, what is planted in a line that is set aside."""

DIAGNOSES = {"pmsi_rsa", "core_pmsi__stay", "core_pmsi__diagnosis"}
PLACES: dict[str, set[str]] = {
    "ZPLANT": DIAGNOSES,
    "PL4NT": {"pmsi_rsa"},
    **{text.strip(): {"restricted_pmsi_ano"} for name, text in SOUND["ano"].items() if name != "encrypted_zone"},
    "ENCRYPTEDPLANTED": set(),  # not to be stored beyond the file as received
    "UCDPLANTED013": {"pmsi_med"},
    "LPPPLANT9": {"pmsi_dmip"},
    "GEOPLANT9": {"pmsi_ium"},
    **{text: {"restricted_pmsi_tra"} for text in SOUND["tra"].values()},
    **{
        text: {"restricted_quarantine" if family in ("ano", "tra") else "quarantine"}
        for family, values in BAD.items()
        for text in values.values()
        if len(text) > 4
    },
    "TAILSPOILT": {"quarantine"},  # after the end of an RSA line
    "ZHELD1": DIAGNOSES,  # of a transmission that was held, then let in
    "ZHELDX": {"quarantine"},
    "RHAPLANTED": {"quarantine"},  # of another record kind under the name of an RSA
    "UNREADPLANTED": set(),  # in an entry of the archive that is not read
    "NAMEPLANTED": set(),  # in the name of such an entry
    "INPUTPLANTED": set(),  # in an input archive
    "DAMAGEDPLANTED": set(),  # in an archive whose checksum is wrong
}
"""Each value that is planted, and the segments and views that hold it; elsewhere it may only be in the bytes as received."""

OF_OTHER_SOURCES = {
    "bordereau", "line", "decide", "pull", "mapping", "campaigns", "close-campaign", "centre",
    "cpom", "deadlines", "decide-definition", "cpom-policy", "cpom-close",
}  # fmt: skip
"""Commands that show no delivery of PMSI; tests of their own sources search what they say."""
NEVER_KEPT = ("INPUTPLANTED", "DAMAGEDPLANTED")
"""Values of files that are refused before any byte is kept."""


KEPT_IN = {
    "rsa": {"pmsi_rsa", "core_pmsi__stay", "core_pmsi__unit_stay", "core_pmsi__diagnosis", "core_pmsi__act"},
    "ano": {"pmsi_ano", "restricted_pmsi_ano"}, "med": {"pmsi_med"}, "dmip": {"pmsi_dmip"}, "ium": {"pmsi_ium"},
    "tra": {"restricted_pmsi_tra"},
}  # fmt: skip
"""By family, the segments and views that may hold what its lines say of a patient; what the TRA says, in its own alone."""
TOLD = {"finess", "input_finess", "rum_finess_geo", "finess_geo", "build_uid", "encrypted_zone"}
"""Fields that say nothing of a patient, and the one that has a case of its own."""


def distinct(field: Field, number: int) -> str | None:
    """A value that stands nowhere else, of the type of a field; None where it is too short for one."""
    length = field.length or 10
    if field.type.startswith("date") or field.name == "birth_date":
        return f"1702{1901 + number}" if length == 8 or not field.length else None
    if field.type == "text":
        return f"Q{number // 26:1d}{chr(65 + number % 26)}XQZJWKVYXQJZKWVXQYJZKWQXVJYZKWQXJ"[:length] if length >= 5 else None
    return f"1{number:02d}7391846"[:length] if length >= 9 else None


def everywhere() -> dict[str, dict[str, str]]:
    """By family, a distinct value for every field that can hold one, fields of zones included."""
    found: dict[str, dict[str, str]] = {}
    numbers = itertools.count()
    for family, name in LAYOUT.items():
        of = layout(name)
        fields = [*of.fields, *(field for zone in of.zones for field in zone.fields)]
        values = {one.name: distinct(one, next(numbers)) for one in fields if one.name not in TOLD and "filler" not in one.name}
        found[family] = {field: value for field, value in values.items() if value}
    return found


EVERYWHERE = everywhere()


# --- files ------------------------------------------------------------------------------------------------------------


def put(line: bytes, family: str, values: dict[str, str]) -> bytes:
    """The line with these texts over its fields."""
    of = layout(LAYOUT[family])
    for field in (field for field in of.fields if field.name in values):
        name, text = field.name, values[field.name]
        if of.fixed_length:
            assert len(text) == field.length, name
            line = line[: field.offset] + text.encode() + line[field.offset + field.length :]
        else:
            cells = line.split(b";")
            cells[of.fields.index(field)] = text.encode()
            line = b";".join(cells)
    return line


def changed(content: bytes, changes: dict[int, Callable[[bytes], bytes]]) -> bytes:
    lines = content.split(b"\r\n")
    for at, change in changes.items():
        lines[at] = change(lines[at])
    return b"\r\n".join(lines)


def planted(family: str, values: dict[str, str]) -> Callable[[bytes], bytes]:
    return lambda line: put(line, family, values)


def planted_in_zones(family: str, values: dict[str, str]) -> Callable[[bytes], bytes]:
    """These texts over the fields of the first item of each zone that a line has."""
    of = layout(LAYOUT[family])

    def change(line: bytes) -> bytes:
        start = of.fixed_length
        for zone in of.zones:
            count = of.field(zone.count_field)
            items = int(line[count.offset : count.offset + count.length].strip() or 0)
            for field in (field for field in zone.fields if items and field.name in values):
                at = start + field.offset
                line = line[:at] + values[field.name].encode() + line[at + field.length :]
            start += items * zone.width
        return line

    return change


def write_exports(folder: Path) -> dict[str, Path]:
    """What comes in, by what is wrong with it."""
    files = transmission(RECIPE)
    for family in files:
        files[family] = changed(files[family], {4: planted(family, SOUND[family]), 9: planted(family, BAD[family])})
        in_zones = dict.fromkeys(range(15, 20), planted_in_zones(family, EVERYWHERE[family])) if family == "rsa" else {}
        files[family] = changed(files[family], {6: planted(family, EVERYWHERE[family])} | in_zones)
    files["rsa"] = changed(files["rsa"], {20: lambda line: line + b"TAILSPOILT"})
    unread = dict.fromkeys((f"{FINESS}.2025.03.sta", "NAMEPLANTED.txt", f"{FINESS}.2025.03.NAMEPLANTED"), b"UNREADPLANTED")
    good = write_archive(folder, RECIPE, "20250420101500", files=files, others=unread)

    rsa = b"".join(records(Recipe(OTHER, 2025, 3, 20, seed=2, changed=0.0, vanished=0.0, late=0.0)))
    spoilt = {at: planted("rsa", {"main_diagnosis": "ZHELDX", "exit_month": "13"}) for at in range(10)}
    held = folder / NAME.format(finess=OTHER, ending="rsa")
    held.write_bytes(changed(rsa, spoilt | {30: planted("rsa", {"main_diagnosis": "ZHELD1"})}))

    rha = folder / NAME.format(finess=THIRD, ending="rsa")
    rha.write_bytes(b"".join(f"{THIRD}M64{rank:010d}RHAPLANTED".encode().ljust(208) + b"\r\n" for rank in range(40)))

    entry = folder / f"{FINESS}.2025.03.MCO.SEJOURS.SEJOURS.20250420101500.in.zip"
    damaged = folder / f"{FOURTH}.2025.03.MCO.SEJOURS.SEJOURS.20250420101500.out.zip"
    for path, text in ((entry, b"INPUTPLANTED"), (damaged, b"DAMAGEDPLANTED")):
        with zipfile.ZipFile(path, "w") as archive:  # sound but for its kind, or for its checksum
            archive.writestr(f"{path.name[:9]}.2025.03.rsa", text * 20)
    damaged.write_bytes(damaged.read_bytes().replace(b"DAMAGEDPLANTED", b"DAMAGEDPLANTEE", 1))

    later = folder / NAME.format(finess=FOURTH, ending="rsa")
    later.write_bytes(changed(rsa.replace(OTHER.encode(), FOURTH.encode()), {3: planted("rsa", {"main_diagnosis": "ZPLANT"})}))
    return {"good": good, "held": held, "rha": rha, "input": entry, "damaged": damaged, "later": later}


# --- commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """A hub to which everything happened, and what each command said: its arguments, and its answer."""

    hub: Hub
    said: list[tuple[tuple[str, ...], Said]]
    reports: tuple[Path, ...]
    """Reject reports written for senders."""


def run(home: Path, *arguments: object) -> Said:
    """One command in this process, with whatever it writes on both streams."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["ecluse", "--home", str(home), *map(str, arguments)])
        patch.setenv("COLUMNS", "240")
        patch.setenv(TEST_CLOCK, "2026-03-31T18:00")
        with pytest.raises(SystemExit) as end:
            cli.main()
    return Said(int(end.value.code or 0), out.getvalue(), err.getvalue())


def run_apart(home: Path, *arguments: object) -> Said:
    """One command in a process of its own: what its libraries write by themselves is seen too."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), TEST_CLOCK: "2026-03-31T18:00"}
    command = [sys.executable, "-m", "flows.cli", "--home", str(home), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Every command on every file, errors among them; each must end as it says."""
    folder = tmp_path_factory.mktemp("privacy")
    home, said = folder / "hub", []
    (folder / "exports").mkdir()
    paths = write_exports(folder / "exports")
    reports = (folder / "held.csv", folder / "good.csv", folder / "chain.csv")

    def ecluse(code: int, *arguments: object, by: Callable[..., Said] = run) -> Said:
        answer = by(home, *arguments)
        assert answer.code == code, (arguments, answer)
        said.append((tuple(map(str, arguments)), answer))
        return answer

    ecluse(2, "status")
    ecluse(0, "init", "--test", "--recipient", "ars-99")
    ecluse(2, "provision")
    ecluse(1, "doctor", "--json")  # a fixed clock
    ecluse(0, "ingest", paths["good"], by=run_apart)
    good = ecluse(0, "ingest", paths["good"], "--json").json["deliveries"][0]["delivery_id"]
    held = ecluse(1, "ingest", paths["held"], "--json").json["deliveries"][0]["delivery_id"]
    ecluse(1, "ingest", paths["held"].rename(folder / "exports" / NAME.format(finess=OTHER, ending="RSA")), paths["input"])
    ecluse(1, "ingest", paths["rha"], paths["input"], paths["damaged"])
    ecluse(1, "ingest", paths["damaged"], paths["input"], by=run_apart)
    ecluse(0, "reject-report", held, "-o", reports[0])
    ecluse(0, "reject-report", good, "-o", reports[1])
    ecluse(0, "reject-report", good, "--json")
    ecluse(0, "build", "--json")
    ecluse(0, "publish")
    for form in ([], ["--json"]):
        ecluse(0, "status", *form)
        ecluse(0, "quarantine", "--limit", 1000, *form)
        ecluse(1, "missing", "--year", 2025, "--month", 12, *form)
    ecluse(0, "waive", held, "--reason", "accord", "--until", "2026-12-31")
    ecluse(0, "redecide")
    ecluse(0, "build")
    ecluse(0, "publish", "--json")
    ecluse(0, "query", "from out_ars__pmsi_activity_by_ghm", "--json")
    ecluse(0, "query", "from ref_pmsi__head", "--format", "csv")
    row = ("ars-99/pmsi-activity", "activity", f"finess={FINESS}", "exit_year=2025")
    for form in ([], ["--json"]):
        ecluse(0, "explain", *row, "exit_month=2", *form)
        ecluse(0, "diff", 0, *form)
        ecluse(0, "why", "ars-99/pmsi-activity", *form)
    ecluse(2, "explain", *row)
    for sql in (
        "select cast(main_diagnosis as integer) from core_pmsi__stay",
        "select cast(ucd_code as date) from segment_pmsi_med where ucd_code like 'U%'",
        "select error(main_diagnosis) from core_pmsi__stay where main_diagnosis like 'ZPL%'",
        "select strptime(postal_code, '%Y') from segment_pmsi_rsa",
        "select [1][cast(lpp_code as integer)] from segment_pmsi_dmip",
        "from segment_restricted_pmsi_tra",
        "select link_index from segment_pmsi_ano",
        f"from read_parquet('{home}/store/segments/*/*.parquet')",
    ):
        ecluse(2, "query", sql)
    ecluse(0, "verify", "--json")
    receipt = home / "products" / "ars-99" / "pmsi-activity" / "0001" / "datapackage.json"
    for form in ([], ["--json"]):
        ecluse(0, "verify", "--receipt", receipt, "--chain", folder / "chain.csv", *form)
        ecluse(0, "acknowledge", "ars-99/pmsi-activity", 1, "refused", "--reason", "mois 3 absent", *form)
    ecluse(0, "publish", "--as-of", 8, "--output", home / "then")
    ecluse(0, "attest", "snp.tariff", "--organisation", "cpam-311", "--role", "service", "--reference", "arrêté",
           "--value", 2500, "--from", "2024-01-01", "--dimension", "version=RHINO", "--dimension", "act=INCLUSION")  # fmt: skip
    ecluse(0, "decide-policy", "w2_end", "ask", "--reason", "accord")
    ecluse(0, "alias", "structure", "99900001100018", "99900002900010", "--reason", "accord")
    ecluse(0, "law", "--json")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ECLUSE_DEBUG", raising=False)
        patch.setattr(Gate, "judge", broken)
        ecluse(1, "ingest", paths["later"])
    hub = open_hub(home)
    with harmed(hub, "pmsi_med"):
        ecluse(1, "verify")
        ecluse(2, "query", "from segment_pmsi_med")
    ecluse(0, "withdraw", good, "--reason", "renvoi")
    ecluse(2, "withdraw", good, "--reason", "renvoi")
    return Told(hub, said, reports)


def broken(gate: Gate, text: dict[str, pl.DataFrame], *others: Any) -> None:
    """A defect of a library that quotes a row."""
    quoted = next(iter(text.values())).filter(pl.col("main_diagnosis") == "ZPLANT").to_dicts()
    raise ValueError(f"could not convert {quoted}")


@contextmanager
def harmed(hub: Hub, table: str) -> Iterator[None]:
    """A segment without its end, whose damage ``verify`` and ``query`` are to tell."""
    [path] = [path for path, name in segments(hub).items() if name == table]
    whole, mode = path.read_bytes(), path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(whole[:-20])
    yield
    path.write_bytes(whole)
    path.chmod(mode)


# --- places -----------------------------------------------------------------------------------------------------------


def segments(hub: Hub) -> dict[Path, str]:
    """Every segment that the log names: its table, or which quarantine."""
    found = {}
    for event in hub.log.read(types=FOLDED):
        aside = {name: event.data[name] for name in ("quarantine", "restricted_quarantine")}
        for table, sha in {**event.data["tables"], **aside}.items():
            if sha:
                found[hub.blobs.segment_path(sha)] = table
    return found


@pytest.fixture(scope="module")
def places(told: Told) -> dict[str, str]:
    """All that the hub holds and says but the bytes as received, by place: segment and view by name, other files by path."""
    home, known = told.hub.settings.home, segments(told.hub)
    texts: dict[str, list[str]] = {"said": [answer.out + answer.err for _, answer in told.said]}
    texts["log"] = [canonical({"data": event.data, "meta": event.meta}) for event in told.hub.log.read()]
    for path in [*home.rglob("*"), *told.reports]:
        if path.is_file() and path.suffix != ".zst":
            inside = path.relative_to(home).parts if home in path.parents else (path.name,)
            place = known.get(path) or (inside[1] if inside[0] == "views" and path.suffix == ".parquet" else "/".join(inside))
            texts.setdefault(place, []).append(path.read_bytes().decode("latin-1"))
            if path.suffix == ".parquet":
                texts[place].append(pl.read_parquet(path).write_ndjson())
            elif path.suffix == ".xlsx":
                with zipfile.ZipFile(path) as workbook:
                    texts[place] += [workbook.read(entry).decode() for entry in workbook.namelist()]
    return {place: "\n".join(parts) for place, parts in texts.items()}


def spellings(value: str) -> set[str]:
    """A value as it was planted; a date also as programs write it, and an amount with its point."""
    if not value.isdecimal():
        return {value}
    return {value, f"{value[4:]}-{value[2:4]}-{value[:2]}", f"{value[:-2]}.{value[-2:]}", f"{value[:-3]}.{value[-3:]}"}


# --- tests ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", PLACES)
def test_a_value_lies_where_it_is_meant_to_and_nowhere_else(value: str, places: dict[str, str]) -> None:
    found = {place for place, text in places.items() if any(spelling in text for spelling in spellings(value))}
    assert found == PLACES[value]


@pytest.mark.parametrize("family", EVERYWHERE)
def test_what_any_field_says_of_a_patient_lies_in_the_tables_of_its_family_alone(family: str, places: dict[str, str]) -> None:
    found = {
        name: {place for place, text in places.items() if any(spelling in text for spelling in spellings(value))}
        for name, value in EVERYWHERE[family].items()
    }
    assert {name: held - KEPT_IN[family] for name, held in found.items() if held - KEPT_IN[family]} == {}
    assert [name for name, held in found.items() if not held] == [], "the search does not see them"


def test_every_kind_of_file_of_the_hub_and_every_command_was_searched(told: Told, places: dict[str, str]) -> None:
    assert {Path(place).suffix for place in places} >= {
        ".db", ".toml", ".csv", ".json", ".parquet", ".xlsx", ".html", ".yaml", ".sqlite",
    }  # fmt: skip
    assert {"log", "said", "quarantine", "held.csv", "good.csv", "out_ars__pmsi_activity"} <= set(places)
    assert len(places["said"]) > 20_000
    every = set(typer.main.get_group(cli.app).commands)
    assert every - {arguments[0] for arguments, _ in told.said} == {"demo"} | OF_OTHER_SOURCES, "demo has exports of its own"
    assert list((told.hub.settings.home / "store" / "tmp").iterdir()) == []


def test_bytes_of_what_is_refused_at_the_door_are_not_even_kept(told: Told) -> None:
    kept = []
    for path in (told.hub.settings.home / "store" / "raw").rglob("*.zst"):
        with told.hub.blobs.open_raw(path.stem) as raw:
            content = raw.read()
        kept.append(content)
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                kept += [archive.read(entry) for entry in archive.infolist()]
    assert len(kept) > 5
    assert any(b"UNREADPLANTED" in content for content in kept)
    assert [value for value in NEVER_KEPT for content in kept if value.encode() in content] == []


def test_an_error_is_told_in_words_of_ours(told: Told) -> None:
    errors = [answer.err for _, answer in told.said if answer.err]
    assert all(error.startswith("ecluse : ") and error.count("\n") == 1 for error in errors), errors
    assert any("défaut interne (ValueError, test_privacy.py:" in error for error in errors)
    assert sum("requête interrompue" in error for error in errors) == 6
