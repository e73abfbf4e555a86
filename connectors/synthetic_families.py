"""Synthetic ANO, FICHCOMP, IUM and TRA files that belong to a synthetic RSA file, and the archives that tools make of them.

Small files for the demo and the tests: true to format, about nobody, the same bytes for the same RSA. Positions come from the
layouts only. What a stay is in the other files is drawn from its RSA line without its number, so that a stay sent again in a
later month keeps its local number and its chaining key. This module must never take anything from a real record.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import shake_256
from pathlib import Path

from connectors.synthetic import Recipe
from connectors.synthetic_rsa import records
from connectors.transmissions import FAMILIES, SEJOURS, Stated
from contracts_schema.families import M999, is_date, is_number
from contracts_schema.layouts import DELIMITED, FIXED, Field, Layout, layout, layouts

LINE_END = b"\r\n"
TRA = {FIXED: "mco_tra_fixed", DELIMITED: "mco_tra_csv"}
"""Forms of the TRA; the delimited one came with the March 2023 production, and carries the UID of the build."""

Value = str | int | date


@dataclass(frozen=True)
class Charter:
    """How the tools of a time name an archive and the files in it (PMSI reference §3, codes/archive_stamp.csv)."""

    archive: str
    file: str
    newest_endings: bool


GENRSA = Charter("{finess}.{year}.{period}.{built:%d%m%Y%H%M%S}.out.zip", "{finess}.{year}.{period}.{ending}", False)
DRUIDES_2023 = Charter("{finess}.{year}.{period}.{built:%Y%m%d%H%M%S}.out.zip", "{finess}.{year}.{period}.{ending}", True)
DRUIDES_2025 = Charter(
    "{finess}.{year}.{period:02d}.MCO.{flow}.{flow}.{built:%Y%m%d%H%M%S}.out.zip", "{finess}.{year}.{period:02d}.{ending}", True
)


@dataclass(frozen=True)
class _Stay:
    """What the other files need of an RSA line; ``key`` is what its draws are made from."""

    key: bytes
    number: str
    ghm: str
    year: int
    month: int
    nights: int
    units: tuple[tuple[str, str, str], ...]
    """Unit number, site and authorisation of each unit crossed; none before format 226."""

    def draw(self, name: str, limit: int) -> int:
        return int.from_bytes(shake_256(self.key + name.encode()).digest(8), "big") % limit

    def digits(self, name: str, length: int) -> str:
        return f"{self.draw(name, 10**length):0{length}d}"

    def code(self, name: str, length: int) -> str:
        return shake_256(self.key + name.encode()).hexdigest(length).upper()[:length]

    @property
    def exit(self) -> date:
        return date(self.year, self.month, 1 + self.draw("exit day", 28))

    @property
    def entry(self) -> date:
        return self.exit - timedelta(self.nights)


def transmission(recipe: Recipe, tra: str = DELIMITED, uid: str | None = None) -> dict[str, bytes]:
    """The files of one transmission by family: the RSA of the recipe, and all that belong to it."""
    rsa = b"".join(records(recipe, LINE_END))
    return {"rsa": rsa} | belonging(rsa, recipe.months, tra, uid)


def belonging(rsa: bytes, period: int, tra: str = DELIMITED, uid: str | None = None) -> dict[str, bytes]:
    """The files that belong to these RSA lines (sound ones, of one establishment), for a transmission of that month.

    ``stay_number`` and TRA ``record_number`` are the RSA's; IUM has each unit number of the RSA once. ``tra`` is one of
    ``TRA``; ``uid`` stands in its delimited form, drawn from the file by default.
    """
    stays = list(_stays(rsa))
    finess = rsa[:9].decode()
    common: dict[str, Value] = {"finess": finess, "input_finess": finess, "period_year": stays[0].year, "period_month": period}
    uid = uid or shake_256(rsa).hexdigest(16)
    return {
        "ano": _file("mco_ano_y2022", [_ano(stay, finess) for stay in stays]),
        "med": _file("mco_fichcomp_med_06", [common | _med(stay) for stay in stays if stay.draw("med", 4) == 0]),
        "dmip": _file("mco_fichcomp_dmip_02", [common | _dmip(stay) for stay in stays if stay.ghm[2] == "C"]),
        "ium": _file("mco_ium_90", [common | unit for unit in _units(stays)]),
        "tra": _file(TRA[tra], [_tra(stay, uid) for stay in stays]),
    }


def archive_name(stated: Stated, charter: Charter = DRUIDES_2025) -> str:
    """The name of the archive of a transmission; ``stated`` must say its stamp."""
    built = datetime.strptime(stated.stamp or "", "%Y%m%d%H%M%S")  # noqa: DTZ007
    flow = (SEJOURS if stated.flow == M999 else stated.flow).upper()
    return charter.archive.format(finess=stated.finess, year=stated.year, period=_period(stated), flow=flow, built=built)


def file_name(stated: Stated, family: str, charter: Charter = DRUIDES_2025) -> str:
    """The name of one file of a transmission, in its archive or loose."""
    ending = FAMILIES[family][-1 if charter.newest_endings else 0]
    return charter.file.format(finess=stated.finess, year=stated.year, period=_period(stated), ending=ending)


def _period(stated: Stated) -> int:
    return 999 if stated.flow == M999 else stated.period


def write_archive(
    folder: Path,
    recipe: Recipe,
    stamp: str,
    charter: Charter = DRUIDES_2025,
    *,
    flow: str = SEJOURS,
    files: Mapping[str, bytes] | None = None,
    others: Mapping[str, bytes] | None = None,
) -> Path:
    """Write the OUT archive of a transmission, named by its charter; ``stamp`` is ``YYYYMMDDHHMMSS`` whatever the charter.

    ``files`` are its files by family (by default all those of the recipe); ``others`` are more entries, under any name.
    """
    stated = Stated("MCO", recipe.finess, recipe.year, recipe.months, flow, stamp)
    files = transmission(recipe) if files is None else files
    path = folder / archive_name(stated, charter)
    named = {file_name(stated, family, charter): content for family, content in files.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**named, **(others or {})}.items():
            entry = zipfile.ZipInfo(name)  # of a fixed date, so that the same files give the same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return path


def write_files(
    folder: Path, recipe: Recipe, charter: Charter = DRUIDES_2025, *, files: Mapping[str, bytes] | None = None
) -> list[Path]:
    """Write the files of a transmission loose in a folder, which is made if need be."""
    stated = Stated("MCO", recipe.finess, recipe.year, recipe.months)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for family, content in (transmission(recipe) if files is None else files).items():
        paths.append(folder / file_name(stated, family, charter))
        paths[-1].write_bytes(content)
    return paths


# --- one line of each family ------------------------------------------------------------------------------------------


def _ano(stay: _Stay, finess: str) -> dict[str, Value]:
    """A chaining and billing line: amounts are masked where a stay is not billed, the birth date is left blank as it should."""
    billed = stay.draw("billed", 20) > 0
    base = 10_000 + stay.draw("amount", 900_000)
    amounts: dict[str, Value] = {
        "amount_refund_base": base, "amount_am_refunded": base * 8 // 10, "amount_copay": base - base * 8 // 10,
        "amount_daily_charge": 2_000 * stay.nights,
    }  # fmt: skip
    return_codes = {field.name: "0" for field in layout("mco_ano_y2022").fields if field.name.startswith("rc_")}
    return {
        **return_codes,
        **(amounts if billed else dict.fromkeys(amounts, "X" * 10)),
        "link_index": stay.code("link", 32),
        "finess": finess,
        "format_version": "000",  # not printed in any sheet: to be learnt from the first real file
        "entry_delay": 10_000 + stay.draw("delay", 20_000),
        "stay_number": stay.number,
        "stay_entry_date": stay.entry,
        "stay_exit_date": stay.exit,
        "scheme_code": "01",
        "insurance_kind": "10",
        "billable_to_am": "1" if billed else "0",
        "refund_rate": 8_000,
        "anonymous_hospitalisation_id": stay.code("hospitalisation", 8),
        "billing_start": stay.entry,
        "billing_end": stay.exit,
        "amo_billed_on": stay.exit + timedelta(10),
        "amo_invoice_status": "1" if billed else "9",
        "encrypted_zone": stay.code("encrypted", 344),
    }


def _med(stay: _Stay) -> dict[str, Value]:
    quantity = 500 + stay.draw("quantity", 4_000)
    return {
        "provision_type": "06",
        "stay_number": stay.number,
        "stay_count": 1,
        "ucd_code": "34008" + stay.digits("ucd", 8),
        "administered_quantity": quantity,
        "purchase_amount": quantity * (100 + stay.draw("price", 900)),
        "administration_month": stay.month,
        "administration_year": stay.year,
        "delay_days": stay.draw("day", stay.nights + 1),
        "auto_transcoded": "2",
        "indication_code": "I" + stay.digits("indication", 6),
    }


def _dmip(stay: _Stay) -> dict[str, Value]:
    return {
        "provision_type": "02",
        "stay_number": stay.number,
        "lpp_code": stay.digits("lpp", 7),
        "implanted_quantity": 1,
        "purchase_amount": 1_000 * (50 + stay.draw("price", 2_000)),
        "implant_month": stay.month,
        "implant_year": stay.year,
        "delay_days": stay.draw("day", stay.nights + 1),
    }


def _units(stays: list[_Stay]) -> list[dict[str, Value]]:
    """Each unit once, in the order of the numbers, on the first site and with the first authorisation met."""
    first: dict[str, tuple[str, str]] = {}
    for stay in stays:
        for number, site, authorisation in stay.units:
            first.setdefault(number, (site, authorisation))
    return [
        {"format_version": "90", "finess_geo": site, "unit_number": number, "unit_authorisation_type": authorisation,
         "hospitalisation_mode": "M", "effective_from": date(2020, 1, 1), "bed_count": 20}
        for number, (site, authorisation) in sorted(first.items())
    ]  # fmt: skip


def _tra(stay: _Stay, uid: str) -> dict[str, Value]:
    return {
        "record_number": stay.number,
        "rss_number": stay.digits("rss", 9),
        "rss_line_number": stay.number,
        "admin_stay_number": stay.digits("nda", 12),
        "stay_entry_date": stay.entry,
        "stay_exit_date": stay.exit,
        "ghm_code": stay.ghm,
        "build_uid": uid,
    }


# --- bytes ------------------------------------------------------------------------------------------------------------


def _stays(rsa: bytes) -> Iterator[_Stay]:
    known = layouts("MCO", "RSA")
    seen: dict[bytes, int] = {}
    for raw in rsa.splitlines():
        line = raw.decode("latin-1")
        of = known[line[9:12]]
        number = of.field("record_number")
        content = raw[: number.offset] + raw[number.offset + number.length :]
        seen[content] = seen.get(content, 0) + 1  # identical lines of day care are different stays
        yield _Stay(
            key=b"%d/%s/" % (seen[content], content),
            number=_cut(line, number),
            ghm="".join(_cut(line, of.field(f"ghm_{part}")) for part in ("cmd", "type", "number", "severity")),
            year=int(_cut(line, of.field("exit_year"))),
            month=int(_cut(line, of.field("exit_month"))),
            nights=int(_cut(line, of.field("los_nights"))),
            units=tuple(_units_crossed(line, of)),
        )


def _units_crossed(line: str, of: Layout) -> Iterator[tuple[str, str, str]]:
    start = of.fixed_length
    for zone in of.zones:
        count = int(_cut(line, of.field(zone.count_field)) or 0)
        fields = {field.name: field for field in zone.fields}
        if "rum_unit_number" in fields:
            for at in range(start, start + count * zone.width, zone.width):
                names = ("rum_unit_number", "rum_finess_geo", "rum_auth_type_1")
                number, site, authorisation = (_cut(line[at:], fields[name]) for name in names)
                yield number, site, authorisation
        start += count * zone.width


def _cut(line: str, field: Field) -> str:
    return line[field.offset : field.offset + field.length].strip()


def _file(format_id: str, rows: list[dict[str, Value]]) -> bytes:
    """The rows as lines of a format; a field that a row does not name is blank, and what the format lacks is left out."""
    of = layout(format_id)
    between = "" if of.fixed_length else ";"
    lines = (between.join(_text(field, row.get(field.name, "")) for field in of.fields) for row in rows)
    return b"".join(line.encode("latin-1") + LINE_END for line in lines)


def _text(field: Field, value: Value) -> str:
    if is_date(field) and isinstance(value, date):
        return f"{value:%d%m%Y}"
    if is_number(field) and isinstance(value, int):
        return f"{value:0{field.length}d}"
    return str(value).ljust(field.length)
