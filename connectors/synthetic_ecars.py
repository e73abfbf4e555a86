"""Writes synthetic e-CARS exports: workbooks as the guide prints them, canonical CSV, follow-up tables. For tests and bench.

Everything is fictional: établissements of department 99. The layout follows the tables of the guide; the real export was never
seen. A contract is a plain record, so that a test can spoil what it wants before it is written.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from connectors.synthetic import fictional_finess
from connectors.synthetic_bordereaux import Cell, Plan, Value, write_csv, write_xlsx
from contracts_schema.cpom_catalogue import CAMPAIGN, Indicator, canonical_columns, indicators, tables

STRAT_TITLE = "ANNEXE 2025 - 2029 : ANNEXE ORIENTATION STRATEGIQUE – ENGAGEMENTS DU PRS"
HPR_TITLE = "ANNEXE 2025 - 2027 : ANNEXE HOPITAUX DE PROXIMITE"
HEADINGS = ("Engagements", "Objectifs opérationnels", "Indicateurs", "Cible établissement")
FOOTER = "ARS Occitanie | Note – Campagne CPOM 2025-2029"
_MONTHS = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip

Series = Sequence[Value]


@dataclass(frozen=True)
class Contract:
    """What one établissement typed: values of each chosen indicator from 2024 on, by printed code; ``hpr`` None without annex.

    ``lines``: envelope → (text of the line, amount); ``recognitions``: the six columns. ``synthesis``: as printed.
    """

    finess_ej: str
    name: str
    chosen: Mapping[str, Series]
    hpr: Mapping[str, Series] | None = None
    comments: Mapping[str, str] = field(default_factory=dict)
    synthesis: Value = "Du 24 juillet 2025"
    lines: Mapping[str, Sequence[tuple[str, Value]]] = field(default_factory=dict)
    totals: Mapping[str, Value] = field(default_factory=dict)
    daf: tuple[Value, Value] | None = None
    recognitions: Sequence[Sequence[Value]] = ()
    with_comments: bool = True


def sample_contract(number: int, *, hpr: bool = False, finess_ej: str | None = None) -> Contract:
    """A sound contract: 2 CT, 6 OS, 6 HPR when asked, always the same for a number."""
    draw = random.Random(number)  # noqa: S311
    ordinary = [one for one in indicators().values() if one.eligibility in ("none", "mco_activity", "surgery_authorisation")]
    territorial = draw.sample([one for one in ordinary if one.family == "CT"], 2)
    strategic = draw.sample([one for one in ordinary if one.family == "OS" and one.code not in ("OS_11_1_1", "OS_13_1_1")], 4)
    recomputed = [indicators()["STRAT", code] for code in ("OS_11_1_1", "OS_13_1_1")]
    near = [indicators()["HPR", code] for code in ("1_1", "3_2", "4_3", "5_1", "4_5", "4_6")] if hpr else []
    chosen = {one.code: series(one, draw) for one in (*territorial, *strategic, *recomputed)}
    required = {one.code: "soins palliatifs, cardiologie" for one in (*territorial, *strategic) if one.comment_required}
    return Contract(
        finess_ej or fictional_finess(number=number),
        f"CH FICTIF {number}",
        dict(sorted(chosen.items())),
        {one.code: series(one, draw) for one in near} if hpr else None,
        required,
    )


def series(one: Indicator, draw: random.Random) -> list[Value]:
    """A rising series from 2024 to the last target year, in the type of the indicator."""
    years = 1 + len(one.target_years)
    if one.value_type == "percent":
        start, step = draw.randint(10, 40), draw.randint(2, 6)
        return [f"{start + step * place},5 %" for place in range(years)]
    if one.value_type in ("yes_no", "unknown"):
        return ["NON", *["OUI"] * (years - 1)]
    if one.value_type == "integer_composite":
        return [f"{draw.randint(1, 9) + 3 * place} / cardiologie, gériatrie" for place in range(years)]
    start, step = draw.randint(5, 30), draw.randint(1, 5)
    return [Decimal(start + step * place) for place in range(years)]


def workbook(*contracts: Contract, stacked: bool = False) -> bytes:
    """A workbook: for each contract a strategic sheet, then its other sheets; ``stacked``: strategic ones below one another."""
    plans: list[Plan] = []
    for place, contract in enumerate(contracts, 1):
        mark = "" if len(contracts) == 1 else f" {place}"
        if stacked and plans:
            plans[0] = replace(plans[0], rows=[*plans[0].rows, [], *strategic_rows(contract)])
        else:
            plans.append(Plan(strategic_rows(contract), f"Synthèse{mark}"))
        if contract.hpr is not None:
            plans.append(Plan(hpr_rows(contract), f"HPR{mark}"))
        if contract.lines or contract.daf:
            plans.append(Plan(financial_rows(contract), f"Finances{mark}"))
        if contract.recognitions:
            plans.append(Plan(recognition_rows(contract), f"Reconnaissances{mark}"))
    return write_xlsx(plans)


def strategic_rows(contract: Contract) -> list[list[Value]]:
    """The strategic sheet: three rows of headings, all 30 indicators, headings again half way, a footer."""
    comments: list[Value] = ["Commentaires"] if contract.with_comments else []
    rows: list[list[Value]] = _head(contract, STRAT_TITLE)
    rows += [[*HEADINGS], [None, None, None, "Valeur initiale", "Valeur cible"]]
    rows.append([None, None, None, *map(Decimal, range(2024, 2030)), *comments])
    for place, one in enumerate(one for one in indicators().values() if one.annex == "STRAT"):
        if place == 14:
            rows += [[FOOTER], [*HEADINGS]]
        line = one.code[:5]
        codes: list[Value] = [f"{line} Engagement n°{one.prs_engagement}-", f"{one.objective_code} {one.objective_label}"]
        values: Series = contract.chosen.get(one.code, [None] * 6)
        rows.append([*codes, f"{one.code} {one.label}", *values, contract.comments.get(one.code)])
    return [*rows, [], [FOOTER]]


def hpr_rows(contract: Contract) -> list[list[Value]]:
    """The HPR sheet: no engagement, objectives printed on the first of their rows."""
    rows: list[list[Value]] = [*_head(contract, HPR_TITLE), ["Objectifs", "Indicateurs", *map(Decimal, range(2024, 2028))]]
    last = ""
    for one in (one for one in indicators().values() if one.annex == "HPR"):
        star = " *" if one.starred else ""
        objective = f"{one.objective_code}_{one.objective_label}{star}" if one.objective_code != last else None
        last = one.objective_code
        rows.append([objective, f"{one.code} {one.label}", *(contract.hpr or {}).get(one.code, [None] * 4)])
    return rows


def financial_rows(contract: Contract) -> list[list[Value]]:
    """The financial sheet: a block an envelope with its total, then the two DAF."""
    rows: list[list[Value]] = []
    for envelope, lines in contract.lines.items():
        rows.append([f"DETAIL DE LA BASE {envelope} à la date du 01/01/2025"])
        rows += [[text, amount] for text, amount in lines]
        total: Value = sum((amount for _, amount in lines if isinstance(amount, Decimal)), Decimal(0))
        rows += [["TOTAL", contract.totals.get(envelope, total)], []]
    return [*rows, ["DAF Autres", "DAF USLD"], list(contract.daf)] if contract.daf else rows


def recognition_rows(contract: Contract) -> list[list[Value]]:
    """The recognition sheet: its six columns."""
    head: list[Value] = [
        "Nom de l'établissement", "Libellé Activité - Reconnaissance", "Modalité", "Capacité reconnue", "Date d'effet",
        "Modalité d'évaluation",
    ]  # fmt: skip
    return [head, *map(list, contract.recognitions)]


def _head(contract: Contract, title: str) -> list[list[Value]]:
    return [
        ["SYNTHESE DES SAISIES"],
        [contract.synthesis],
        [title],
        [f"FINESS EJ : {contract.finess_ej}"],
        [f"Nom de l'établissement : {contract.name}"],
    ]


def canonical(contracts: Iterable[Contract]) -> bytes:
    """The canonical CSV of contracts: a row a value of the chosen indicators, one row each for the others."""
    rows: list[list[Value]] = [list(canonical_columns())]
    for contract in contracts:
        for annex, chosen in (("STRAT", contract.chosen), ("HPR", contract.hpr)):
            if chosen is None:
                continue
            head: list[Value] = [CAMPAIGN, contract.finess_ej, contract.name, annex, _printed(contract.synthesis)]
            for one in (one for one in indicators().values() if one.annex == annex):
                what: list[Value] = [one.code, one.objective_code, str(one.prs_engagement or "")]
                tail: list[Value] = ["", annex, ""]
                if one.code not in chosen:
                    rows.append([*head, *what, "non", "", "", "", "", "", "", *tail])
                    continue
                for year, value in enumerate(chosen[one.code], 2024):
                    role = "INITIALE" if year == 2024 else "CIBLE"
                    told = [*head, *what, "oui", str(year), role, _text(value), "", one.unit or ""]
                    rows.append([*told, contract.comments.get(one.code, ""), *tail])
    return write_csv(rows, newline="\n")


def _printed(value: Value) -> str:
    return value.isoformat() if isinstance(value, date) else str(value or "")


def _text(value: Value) -> str:
    return value.text if isinstance(value, Cell) else str(value if value is not None else "")


def table(name: str, rows: Iterable[Mapping[str, Value]]) -> bytes:
    """A reference or follow-up table of ``contracts_schema/cpom/tables.yaml``; columns left out are empty."""
    columns = list(tables()[name]["columns"])
    told: list[list[Value]] = [list(columns)]
    told += [[row.get(column) for column in columns] for row in rows]
    return write_csv(told, newline="\n", iso_dates=True)


def french_day(day: date) -> str:
    """``24 juillet 2025``."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
