"""Writes synthetic bordereaux: XLSX, ODS and CSV of one content, with the defects that one plans. For tests, demo and bench.

Everything is fictional: structures of department 99, invented RPPS, no patient. The XML is written here, so that a cell can be
what no library would write (an error, a formula without value, a hidden row, a number in scientific notation), and quickly.
"""

import io
import random
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from xml.sax.saxutils import escape, quoteattr

from connectors.sheets import reference

COLUMNS = {
    "protocol": "Protocole", "act": "Acte", "date": "Date", "month": "Mois", "delegate": "Professionnel délégué",
    "rpps": "RPPS", "profession": "Profession", "count": "Nombre", "unit": "Tarif", "amount": "Montant", "ref": "N°",
    "comment": "Observations", "patient_key": "Clé patient", "age": "Âge", "sex": "Sexe",
}  # fmt: skip
HEADER = {
    "structure_name": "Nom de la structure", "siret": "SIRET", "finess": "FINESS", "structure_kind": "Type de structure",
    "caisse": "CPAM", "period": "Période", "total": "Total", "replaces": "Annule et remplace", "sender": "Émetteur",
    "iban_state": "État de l'IBAN", "certification": "Certifié exact",
}  # fmt: skip
LABELS = {"CYSTITE": "Cystite", "ODYNO": "Odynophagie", "RHINO": "Rhino-conjonctivite", "VARICELLE": "Varicelle"}
STRUCTURE = {
    "structure_name": "CPTS Val Sablier", "siret": "99900001100018", "structure_kind": "CPTS", "caisse": "C01",
    "period": "du 12/07/2022 au 30/09/2022", "certification": "le responsable, le 03/10/2022",
}  # fmt: skip
DELEGATES = ("99900000011", "99900000029", "99900000045", "99900000052")


@dataclass(frozen=True)
class Cell:
    """A cell that is not plain: ``kind`` n (number as written), p (percentage), e (error), f (formula without stored value),
    c (formula with its stored value, in ``stored``).
    """

    kind: str
    text: str
    stored: str = ""


Value = str | int | Decimal | date | Cell | None
Line = Mapping[str, Value]


@dataclass(frozen=True)
class Plan:
    """One sheet to write: rows of values, and what it hides or merges (rows and columns from 1)."""

    rows: Sequence[Sequence[Value]]
    name: str = "Bordereau"
    hidden: bool = False
    hidden_rows: frozenset[int] = frozenset()
    merged: tuple[str, ...] = field(default=())


def sample_lines(count: int, seed: int = 1, first: date = date(2022, 7, 20), days: int = 60) -> list[dict[str, Value]]:
    """Sound lines of acts at 25 €, with a reference each."""
    draw = random.Random(seed)  # noqa: S311
    families = list(LABELS.values())
    return [
        {
            "protocol": draw.choice(families),
            "act": "Inclusion",
            "date": first + timedelta(days=draw.randrange(days)),
            "delegate": f"Délégué {number % 4 + 1}",
            "rpps": DELEGATES[number % 4],
            "profession": "Pharmacien" if number % 4 < 2 else "IDE",
            "count": 1,
            "unit": Decimal("25"),
            "amount": Decimal("25"),
            "ref": f"A{number + 1:06d}",
            "comment": "",
        }
        for number in range(count)
    ]


DEFECTS: Mapping[str, Callable[[Line], dict[str, Value]]] = {
    "unknown_label": lambda line: {**line, "protocol": "Prot. gorge/cyst."},
    "two_digit_year": lambda line: {**line, "date": "03/08/22"},
    "impossible_day": lambda line: {**line, "date": "31/09/2022"},
    "error_amount": lambda line: {**line, "amount": Cell("e", "#N/A")},
    "formula_amount": lambda line: {**line, "amount": Cell("f", "=H2*I2")},
    "wrong_amount": lambda line: {**line, "amount": Decimal("27.50")},
    "half_count": lambda line: {**line, "count": "2,5"},
    "bad_rpps": lambda line: {**line, "rpps": "99900000012"},
    "spaced_rpps": lambda line: {**line, "rpps": "999 000 000 11"},
    "negative": lambda line: {**line, "amount": Decimal("-25")},
}
"""Planned defects of a line, by name."""


def spoil(lines: Sequence[Line], defects: Mapping[int, str]) -> list[dict[str, Value]]:
    """Lines with the planned defect of each number (from 0)."""
    return [DEFECTS[defects[number]](line) if number in defects else dict(line) for number, line in enumerate(lines)]


def total_of(lines: Iterable[Line]) -> Decimal:
    """Sum of the amounts that are plain numbers."""
    return sum((line["amount"] for line in lines if isinstance(line["amount"], Decimal)), Decimal(0))


def rows_of(
    lines: Sequence[Line], header: Mapping[str, Value] = STRUCTURE, columns: Sequence[str] | None = None, *, total: bool = False
) -> list[list[Value]]:
    """Rows of a sheet: facts above, a blank row, headings, lines, and a totals row when asked."""
    names = list(columns or [name for name in COLUMNS if any(line.get(name) is not None for line in lines)])
    rows: list[list[Value]] = [[HEADER[name], value] for name, value in header.items()]
    rows += [[], [COLUMNS[name] for name in names]]
    rows += [[line.get(name) for name in names] for line in lines]
    if total:
        last: list[Value] = [None] * len(names)
        last[0], last[names.index("amount")] = "Total", total_of(lines)
        rows.append(last)
    return rows


def write_csv(
    rows: Sequence[Sequence[Value]],
    *,
    delimiter: str = ";",
    encoding: str = "utf-8",
    newline: str = "\r\n",
    iso_dates: bool = False,
) -> bytes:
    """A CSV as a French spreadsheet saves it: rows padded to one width, decimal comma, fields quoted when they must be."""
    width = max(map(len, rows), default=0)
    written = [
        delimiter.join([*(_field(_shown(value, iso_dates=iso_dates), delimiter) for value in row), *[""] * (width - len(row))])
        for row in rows
    ]
    return (newline.join(written) + newline).encode(encoding)


def _shown(value: Value, *, iso_dates: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat() if iso_dates else f"{value:%d/%m/%Y}"
    if isinstance(value, Decimal):
        return f"{value:.2f}".replace(".", ",")
    if isinstance(value, Cell):
        return value.stored or value.text
    return str(value)


def _field(text: str, delimiter: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in (delimiter, '"', "\n", "\r")) else text


_CONTENT_TYPES = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml"'
    ' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/>'
)
_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_STYLES = (
    f'<styleSheet {_MAIN}><numFmts count="1"><numFmt numFmtId="164" formatCode="dd/mm/yyyy"/></numFmts>'
    '<fonts count="1"><font/></fonts><fills count="1"><fill><patternFill patternType="none"/></fill></fills>'
    '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="164" applyNumberFormat="1"/>'
    '<xf numFmtId="9" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


def write_xlsx(plans: Sequence[Plan], *, date_1904: bool = False) -> bytes:
    """An XLSX workbook: texts inline, numbers with the digits given, dates as serials."""
    sheets = "".join(
        f'<sheet name={quoteattr(plan.name)} sheetId="{number}"{" state=" + quoteattr("hidden") if plan.hidden else ""}'
        f' r:id="rId{number}"/>'
        for number, plan in enumerate(plans, 1)
    )
    relations = "".join(
        f'<Relationship Id="rId{number}" Type="{_REL}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in range(1, len(plans) + 1)
    )
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml"'
        ' ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        for number in range(1, len(plans) + 1)
    )
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    parts = {
        "[Content_Types].xml": f"{_CONTENT_TYPES}{overrides}</Types>",
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="rId1" Type="{_REL}/officeDocument"'
        ' Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {_MAIN} xmlns:r="{_REL}"><workbookPr date1904="{int(date_1904)}"/>'
        f"<sheets>{sheets}</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">{relations}<Relationship Id="rId0"'
        f' Type="{_REL}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": _STYLES,
    }
    epoch = date(1904, 1, 1) if date_1904 else date(1899, 12, 30)
    for number, plan in enumerate(plans, 1):
        parts[f"xl/worksheets/sheet{number}.xml"] = _xlsx_sheet(plan, epoch)
    return zipped(parts)


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """An archive of parts, the same bytes at each run."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name, (2022, 10, 3, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return out.getvalue()


def _xlsx_sheet(plan: Plan, epoch: date) -> str:
    rows = []
    for number, row in enumerate(plan.rows, 1):
        hidden = ' hidden="1"' if number in plan.hidden_rows else ""
        cells = "".join(_xlsx_cell(reference(number, column), value, epoch) for column, value in enumerate(row, 1))
        if cells:
            rows.append(f'<row r="{number}"{hidden}>{cells}</row>')
    areas = "".join(f'<mergeCell ref="{area}"/>' for area in plan.merged)
    merged = f'<mergeCells count="{len(plan.merged)}">{areas}</mergeCells>' if plan.merged else ""
    return f"<worksheet {_MAIN}><sheetData>{''.join(rows)}</sheetData>{merged}</worksheet>"


def _xlsx_cell(place: str, value: Value, epoch: date) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    if isinstance(value, date):
        return f'<c r="{place}" s="1"><v>{(value - epoch).days}</v></c>'
    if not isinstance(value, Cell):
        return f'<c r="{place}"><v>{value}</v></c>'
    if value.kind == "e":
        return f'<c r="{place}" t="e"><v>{escape(value.text)}</v></c>'
    if value.kind in ("f", "c"):
        return f'<c r="{place}"><f>{escape(value.text.removeprefix("="))}</f><v>{value.stored}</v></c>'
    return f'<c r="{place}" s="{2 if value.kind == "p" else 0}"><v>{value.text}</v></c>'


_ODS = "".join(
    f' xmlns:{part}="urn:oasis:names:tc:opendocument:xmlns:{part}:1.0"' for part in ("office", "table", "text", "style")
)


def write_ods(plans: Sequence[Plan], *, empty_rows: int = 1_000_000) -> bytes:
    """An ODS document, with the million repeated empty rows that a spreadsheet leaves below its table."""
    sheets = "".join(_ods_sheet(plan, empty_rows) for plan in plans)
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content{_ODS} office:version="1.3"><office:automatic-styles>'
        '<style:style style:name="ta0" style:family="table"><style:table-properties table:display="true"/></style:style>'
        '<style:style style:name="ta1" style:family="table"><style:table-properties table:display="false"/></style:style>'
        f"</office:automatic-styles><office:body><office:spreadsheet>{sheets}</office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/>'
        '<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>'
    )
    return zipped({"mimetype": kind, "content.xml": content, "META-INF/manifest.xml": manifest})


def _ods_sheet(plan: Plan, empty_rows: int) -> str:
    rows = []
    for number, row in enumerate(plan.rows, 1):
        visibility = ' table:visibility="filter"' if number in plan.hidden_rows else ""
        cells = "".join(_ods_cell(value) for value in row) or "<table:table-cell/>"
        rows.append(f"<table:table-row{visibility}>{cells}</table:table-row>")
    empty = (
        f'<table:table-row table:number-rows-repeated="{empty_rows}"><table:table-cell table:number-columns-repeated="16384"/>'
    )
    style = f'table:style-name="ta{int(plan.hidden)}"'
    return f"<table:table table:name={quoteattr(plan.name)} {style}>{''.join(rows)}{empty}</table:table-row></table:table>"


def _ods_cell(value: Value) -> str:
    if value is None or value == "":
        return "<table:table-cell/>"
    if isinstance(value, str):
        paragraphs = "".join(f"<text:p>{escape(part)}</text:p>" for part in value.split("\n"))
        return f'<table:table-cell office:value-type="string">{paragraphs}</table:table-cell>'
    if isinstance(value, date):
        shown = f"<text:p>{value:%d/%m/%Y}</text:p>"
        return f'<table:table-cell office:value-type="date" office:date-value="{value.isoformat()}">{shown}</table:table-cell>'
    if not isinstance(value, Cell):
        shown = f"<text:p>{value}</text:p>"
        return f'<table:table-cell office:value-type="float" office:value="{value}">{shown}</table:table-cell>'
    if value.kind == "e":
        return f'<table:table-cell office:value-type="string"><text:p>{escape(value.text)}</text:p></table:table-cell>'
    if value.kind in ("f", "c"):
        stored = f' office:value-type="float" office:value="{value.stored}"' if value.stored else ""
        return f"<table:table-cell table:formula={quoteattr('of:' + value.text)}{stored}/>"
    kind = "percentage" if value.kind == "p" else "float"
    shown = f"<text:p>{value.text}</text:p>"
    return f'<table:table-cell office:value-type="{kind}" office:value="{value.text}">{shown}</table:table-cell>'


def bordereau(
    lines: Sequence[Line], fmt: str = "xlsx", header: Mapping[str, Value] = STRUCTURE, *, total: bool = True
) -> bytes:
    """One bordereau of lines in ``xlsx``, ``ods`` or ``csv``, its declared total and totals row included."""
    told = {**header, **({"total": total_of(lines)} if total else {})}
    plan = Plan(rows_of(lines, told, total=total))
    if fmt == "csv":
        return write_csv(plan.rows)
    return write_xlsx([plan]) if fmt == "xlsx" else write_ods([plan])


def hide(plan: Plan, rows: Iterable[int]) -> Plan:
    """The sheet with some of its rows hidden."""
    return replace(plan, hidden_rows=frozenset(rows))
