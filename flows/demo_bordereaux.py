"""The demonstration's bordereaux: a fictional caisse, its references, two declarations, three bordereaux with their accidents.

Same files, same bytes, each time; nothing in them is real.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from connectors import synthetic_references as references
from connectors.synthetic import fictional_finess
from connectors.synthetic_bordereaux import Cell, Plan, Value, rows_of, write_csv, write_ods, write_xlsx
from flows.hub import Hub

CAISSE = "311"
FOLDER = f"cpam-{CAISSE}"
MSP, CPTS = "99900007800017", "99900001100018"
MSP_FINESS = fictional_finess(number=70)
OTHER_PHARMACIST = "99900000029"
NURSE, PHARMACIST, PHYSIOTHERAPIST, UNDECLARED = "99900000045", "99900000011", "99900000078", "99900000060"
EXPORT = "declarations.csv"
RECEIVED_ON, READ_ON = date(2026, 5, 12), date(2026, 5, 20)

Line = dict[str, Value]


def write(folder: Path, *, exported: bool = True) -> int:
    """Write the references, declarations and bordereaux into ``folder``/cpam-311; gives the number of files.

    ``exported``: the declarations too, as an export of their démarche; the demonstration itself pulls them instead.
    """
    files = {
        "structures.csv": _structures(),
        "adhesions.csv": references.adhesions(),
        "rattachements.csv": _attachments(),
        "professionnels.csv": b"".join(references.professionals()),
        EXPORT: references.declarations(_declared(), synchronised=READ_ON),
        "msp-tilleuls-2026-03.xlsx": write_xlsx([Plan(rows_of(_march(), _header(MSP, "MSP des Tilleuls", "MSP"), total=True))]),
        "msp-tilleuls-2026-04.ods": write_ods([Plan(rows_of(_april(), _header(MSP, "MSP des Tilleuls", "MSP", month=4)))]),
        "cpts-val-sablier-2026-03.csv": write_csv(rows_of(_of_cpts(), _header(CPTS, "CPTS Val Sablier", "CPTS"))),
        "paiements.csv": _payments(),
    }
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    if not exported:
        del files[EXPORT]
    for name, content in files.items():
        (place / name).write_bytes(content)
    return len(files)


def attest(hub: Hub) -> None:
    """The fictional caisse attests tariffs and periods as the catalogue has them, which makes its amounts firm; once."""
    from contracts_schema.parameters import snp
    from flows import law, law_table

    rows = law_table.as_published([snp.TARIFF, snp.WINDOW], "texte fictif de la démonstration")
    law.attest(hub, rows, FOLDER, "service des prestations (fictif)", "démonstration")


def _header(siret: str, name: str, kind: str, month: int = 3) -> dict[str, Value]:
    last = date(2026, month + 1, 1) - timedelta(days=1)
    told = {"structure_name": name, "siret": siret, "structure_kind": kind, "caisse": CAISSE}
    return {
        **told,
        "period": f"du 01/{month:02d}/2026 au {last:%d/%m/%Y}",
        "certification": f"le responsable, le {last:%d/%m/%Y}",
    }


def _line(number: int, protocol: str, day: Value, rpps: str, **more: Value) -> Line:
    professions = {PHYSIOTHERAPIST: "Masseur-kinésithérapeute", NURSE: "IDE", UNDECLARED: "IDE"}
    return {
        "protocol": protocol,
        "act": "Consultation 1" if "cheville" in protocol else "Inclusion",
        "date": day,
        "delegate": f"Délégué {rpps[-3:]}",
        "rpps": rpps,
        "profession": professions.get(rpps, "Pharmacien"),
        "count": 1,
        "unit": Decimal(25),
        "amount": Decimal(25),
        "ref": f"T{number:04d}",
        **more,
    }


def _march() -> list[Line]:
    """Forty sound lines, then one of each accident."""
    kinds = (("Cystite", PHARMACIST), ("Odynophagie", NURSE), ("Cystite", NURSE), ("Entorse de cheville", PHYSIOTHERAPIST))
    sound = [_line(number, *_of(kinds, number)) for number in range(40)]
    third = date(2026, 3, 3)
    accidents = [
        _line(40, "Cystite", third, UNDECLARED),
        _line(41, "Cystite", third, "99900000012"),
        _line(42, "Prot. gorge/cyst.", third, PHARMACIST),
        _line(43, "Cystite", "31/02/2026", PHARMACIST),
        _line(44, "Cystite", date(2025, 10, 15), NURSE),
        _line(45, "Odynophagie", third, NURSE, unit=Decimal(30), amount=Decimal(30)),
        _line(46, "Odynophagie", third, NURSE, amount=Decimal(20)),
        _line(47, "Odynophagie", third, NURSE, amount=Cell("e", "#N/A")),
        _line(48, "Entorse de cheville", third, PHARMACIST),
        _line(49, "Cystite", third, PHARMACIST, ref="T0001"),
        _line(50, "Cystite", third, PHARMACIST, amount=Decimal(-25)),
    ]
    return sound + accidents


def _of(kinds: Sequence[tuple[str, str]], number: int) -> tuple[str, date, str]:
    protocol, rpps = kinds[number % len(kinds)]
    return protocol, date(2026, 3, 13) + timedelta(days=number % 17), rpps


def _april() -> list[Line]:
    """A month without accident, but for a line of March that comes again."""
    again = _line(60, "Cystite", date(2026, 3, 13), PHARMACIST, ref="T0000")
    return [_line(number, "Odynophagie", date(2026, 4, 13 + number % 17), NURSE) for number in range(61, 81)] + [again]


def _of_cpts() -> list[Line]:
    return [_line(number, "Cystite", date(2026, 3, 13 + number % 17), OTHER_PHARMACIST) for number in range(90, 100)]


def _declared() -> list[dict[str, str]]:
    families = ("CYSTITE", "ODYNO", "CHEVILLE")
    msp = references.dossier("900001", "2025-11-03T10:12:00+01:00", MSP, ["PH1", "IDE1", "MK1", "MED1"], families)
    cpts = references.dossier("900002", "2022-07-20T09:00:00+02:00", CPTS, ["PH2", "IDE1", "MED1"])
    return [*msp, *cpts]


def _structures() -> bytes:
    rows = [(MSP, MSP_FINESS, "MSP des Tilleuls", "MSP"), (CPTS, "", "CPTS du Val Sablier", "CPTS")]
    return references.table([("SIRET", "FINESS", "Nom", "Type"), *rows])


def _attachments() -> bytes:
    return references.table([("SIRET", "Caisse", "Début", "Fin exclue"), *((place, CAISSE, "", "") for place in (MSP, CPTS))])


def _payments() -> bytes:
    """What was paid before: two lines of March, one of them too much."""
    rows = [
        ("N° de paiement", "Caisse", "SIRET", "Référence", "Montant payé", "Payé le"),
        ("P1", CAISSE, MSP, "T0003", "25,00", "10/04/2026"),
        ("P2", CAISSE, MSP, "T0046", "25,00", "10/04/2026"),
    ]
    return references.table(rows)
