"""What a published row about contracts of the CPOM rests on: cells of e-CARS, transmissions of the PMSI, decisions, rules.

The value declared with its file, sheet, cell and text; the value recomputed with its transmissions, and by which decision; the
lines of follow-up tables. A row in which something is masked has no recomputed count.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from contracts_schema.products import CPOM, Table, products
from flows import computed, cpom, cpom_inputs
from flows.deliveries import all_heads
from flows.hub import Hub
from flows.origins import CELL, RECOMPUTED, Origins, decision, measure, rule
from warehouse.heads import ECARS, Head

if TYPE_CHECKING:
    import polars as pl

    from flows.cpom import Contracts

SUBJECTS = {"recognition_report": "recognition_id", "notice_event": "procedure_id", "contract_post": "post_id"}
"""Follow-up tables by the column that an obligation names in its subject; subsidies have theirs."""
WORDS = {"INITIALE": "valeur initiale", "CIBLE": "cible", "REALISE": "valeur réalisée"}
PMSI_TABLE = "indicator"

Basis = Iterator[dict[str, Any]]


def origins(hub: Hub, table: Table, row: Mapping[str, Any], position: int) -> Origins:
    """What a row rests on, as of a position."""
    at = computed.moment(hub, CPOM, position)
    if at is None:
        return Origins({})
    known, ej = all_heads(hub, at.position), row.get("finess_ej")
    lines = followed(hub, known, _of_tables(table.name, row))
    if ej is None:  # of the whole campaign or région: no file makes it
        return Origins(lines, (rule(row["rule"], row["message"], severity=row["severity"]),) if table.name == "finding" else ())
    found = cpom.judged(hub, known, row["region"], at, lambda number: number == ej)
    if table.name == "indicator":
        lines |= _counted(hub, known, found, row, at.position)
    if table.name == "trajectory":
        sent = set((row["origin"] or "").split())
        lines |= {head.scope: {} for head in known.values() if head.delivery_id in sent}
    basis = CELLS[table.name](found, row) if table.name in CELLS else iter(())
    told = [*basis, *(_recomputed(hub, found, row) if table.name == "indicator" else ())]
    return Origins({**{one["scope"]: {} for one in told if one["kind"] == CELL}, **lines}, tuple(told))


def _sheets(found: "Contracts") -> "pl.DataFrame":
    return found.facts.sheet.select("sheet_id", "file", "sha256", "sheet")


def _cell(what: str, place: Mapping[str, Any], cell: str | None, text: str | None) -> dict[str, Any]:
    where = f"{place['file']}, {place['sheet']}" + (f", {cell}" if cell else "")
    scope = f"{ECARS}/{place['sha256'][:16]}"
    return {"kind": CELL, "scope": scope, "file": place["file"], "sheet": place["sheet"], "cell": cell, "raw": text,
            "text": f"{what} : « {text or ''} » ({where})"}  # fmt: skip


def _contract(found: "Contracts", row: Mapping[str, Any]) -> Basis:
    """Where the contract is named, the indicators it chose, and the rules that speak of it."""
    import polars as pl

    for sheet in found.facts.sheet.filter(pl.col("annex") == "STRAT").iter_rows(named=True):
        yield _cell("numéro FINESS", sheet, sheet["finess_cell"], sheet["finess_raw"])
        yield _cell("nom", sheet, sheet["name_cell"], sheet["legal_name"])
        yield _cell("date de synthèse", sheet, sheet["synthesis_cell"], sheet["synthesis_raw"])
    files = dict(found.facts.sheet.select("sha256", "file").iter_rows())
    for one in found.judgement.chosen_indicator.iter_rows(named=True):
        yield _cell("indicateur choisi", {**one, "file": files[one["sha256"]]}, one["cell"], one["id"])
    for said in found.judgement.findings.filter(pl.col("severity") != "info").iter_rows(named=True):
        yield rule(said["rule"], said["message_fr"], severity=said["severity"], sheet=said["sheet"], cell=said["cell"])


def _declared(found: "Contracts", row: Mapping[str, Any]) -> Basis:
    """The cell of a value, initial, target or realised."""
    import polars as pl

    from checks.cpom.product import ROLES

    files = dict(found.facts.sheet.select("sha256", "file").iter_rows())
    role = next(code for code, word in ROLES.items() if word == row["role"])
    values = pl.concat([found.judgement.target, found.judgement.declared_result])
    own = values.filter(pl.col("id") == row["indicator_id"], pl.col("year") == row["year"], pl.col("role") == role)
    for one in own.iter_rows(named=True):
        yield _cell(f"{WORDS[role]} {row['year']}", {**one, "file": files[one["sha256"]]}, one["cell"], one["text"])


def _target(found: "Contracts", row: Mapping[str, Any]) -> Basis:
    """The cell of the target, and what is recomputed of its year."""
    yield from _declared(found, {**row, "role": "Cible"})
    said = "masqué" if row["masked"] or row["numerator"] is None else f"{row['numerator']} / {row['denominator']}"
    yield {"kind": RECOMPUTED, "variant": row["definition_variant"], "numerator": row["numerator"],
           "denominator": row["denominator"],
           "text": f"recalculé : variante {row['definition_variant']} : {said} ({row['year']})"}  # fmt: skip


def _finding(found: "Contracts", row: Mapping[str, Any]) -> Basis:
    """The rule, and the cell that it speaks of."""
    import polars as pl

    same = (pl.col(name).eq_missing(row[name]) for name in ("rule", "year", "file", "sheet", "cell"))
    said = found.judgement.findings.filter(*same, pl.col("message_fr") == row["message"])
    for one in said.drop_nulls("sha256").head(1).iter_rows(named=True):
        yield _cell("cellule lue", one, one["cell"], one["raw"])
    yield rule(row["rule"], row["message"], severity=row["severity"])


def _line(found: "Contracts", row: Mapping[str, Any]) -> Basis:
    import polars as pl

    lines = found.facts.frame("financial_line").join(_sheets(found), on="sheet_id")
    own = lines.filter(pl.col("envelope") == row["envelope"], pl.col("cell").eq_missing(row["cell"]))
    for one in own.head(1).iter_rows(named=True):
        yield _cell(f"{row['kind'].lower()} {row['envelope']}", one, one["cell"], one["amount_raw"])


def _obligation(found: "Contracts", row: Mapping[str, Any]) -> Basis:
    """Without a subject an obligation is about the choice itself; a recognition stands in the export."""
    import polars as pl

    if row["subject"] is None:
        for sheet in found.facts.sheet.filter(pl.col("annex") == "STRAT").iter_rows(named=True):
            yield _cell("date de synthèse", sheet, sheet["synthesis_cell"], sheet["synthesis_raw"])
    held = found.facts.frame("recognition").filter(pl.col("recognition_id").eq_missing(row["subject"]))
    for one in held.join(_sheets(found), on="sheet_id").drop_nulls("recognition_id").iter_rows(named=True):
        yield _cell("reconnaissance", one, one["cell"], one["label"])


CELLS: dict[str, Callable[["Contracts", Mapping[str, Any]], Basis]] = {
    "contract": _contract, "indicator": _declared, "target": _declared, "finding": _finding, "line": _line,
    "trajectory": _target, "obligation": _obligation,
}  # fmt: skip


def _recomputed(hub: Hub, found: "Contracts", row: Mapping[str, Any]) -> Basis:
    """The variant that was decided, by which decision, and what the PMSI gives in it."""
    for one in _compared(found, row).iter_rows(named=True):
        if one["variant"] is None:
            yield {"kind": RECOMPUTED, "text": one["message_fr"]}
            continue
        name = f"{one['definition_id']} version {one['definition_version']}, variante {one['variant']}"
        shown = row["numerator"] is not None and not row["masked"]
        counted = f"{row['numerator']} / {row['denominator']}" if row["denominator"] is not None else str(row["numerator"])
        said = counted if shown else "masqué ou absent"
        whose = f" ({one['finess']}, {row['year']})" if one["finess"] else ""
        yield {"kind": RECOMPUTED, "definition_id": one["definition_id"], "definition_version": one["definition_version"],
               "variant": one["variant"], "numerator": row["numerator"], "denominator": row["denominator"],
               "finess": one["finess"], "transmissions": one["transmissions"],
               "text": f"recalculé : {name} : {said}{whose}"}  # fmt: skip
        if one["decision_position"] is not None:
            yield decision(hub, one["decision_position"])


def _compared(found: "Contracts", row: Mapping[str, Any]) -> "pl.DataFrame":
    import polars as pl

    from checks.cpom.product import ROLES

    role = next(code for code, word in ROLES.items() if word == row["role"])
    return found.comparison.compared.filter(
        pl.col("id") == row["indicator_id"], pl.col("year") == row["year"], pl.col("role") == role
    )


def _counted(
    hub: Hub, known: Mapping[str, Head], found: "Contracts", row: Mapping[str, Any], position: int
) -> dict[str, dict[str, Any]]:
    """The transmissions behind a recomputed value and, unless something is masked, the lines that it counts."""
    from flows.explanation import lines_of

    told: dict[str, dict[str, Any]] = {}
    table = next(one for one in products()["ars", cpom_inputs.PMSI_PRODUCT].tables if one.name == PMSI_TABLE)
    for one in _compared(found, row).drop_nulls("transmissions").iter_rows(named=True):
        sent = set(one["transmissions"].split())
        told |= {head.scope: {} for head in known.values() if head.delivery_id in sent}
        if row["numerator"] is None or row["masked"]:
            continue
        for finess in one["finess"].split():
            keys = {
                "finess": finess,
                "exit_year": row["year"],
                "definition_id": one["definition_id"],
                "variant": one["variant"],
            }
            told |= lines_of(hub, table, keys, position)
    return told


def followed(hub: Hub, known: Mapping[str, Head], wanted: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The lines of follow-up tables, by scope; ``wanted``: by frame, the columns and values of the rows."""
    import polars as pl

    told: dict[str, dict[str, Any]] = {}
    for head in known.values():
        for frame, condition in wanted.items():
            segment = head.tables.get(f"{ECARS}_{frame}") if head.source == ECARS else None
            if segment:
                rows = pl.read_parquet(hub.blobs.segment_path(segment)).with_row_index("place")
                places = rows.filter(*(pl.col(name) == value for name, value in condition.items()))["place"].to_list()
                if places:
                    numbers = _numbers(hub, head)
                    told[head.scope] = {"lignes": measure(numbers[place] for place in places)}
    return told


def _of_tables(name: str, row: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By follow-up table, the columns and values of the rows that a published row is made of."""
    ej = {"finess_ej": row.get("finess_ej")}
    if name == "subsidy":
        return of_subsidy(row["subsidy_id"], row["finess_ej"])
    if name == "notice":
        return {"notice_event": {"procedure_id": row["procedure_id"], **ej}}
    if name == "ceiling":
        return {"insurance_income": ej, "notice_event": ej}
    if name == "finding" and row["rule"] == "cpom.R52":
        return {"expected_contract": ej}
    if name != "obligation" or ej["finess_ej"] is None:
        return {}
    if row["subject"] is None:
        return {"annex": ej, "entry": ej, "contract_event": ej}
    if row["deadline_id"] == "D24":
        return {"long_term_account": ej}
    others = {frame: {column: row["subject"], **ej} for frame, column in SUBJECTS.items()}
    return others | of_subsidy(row["subject"], row["finess_ej"])


def of_subsidy(number: str, finess_ej: str) -> dict[str, dict[str, Any]]:
    """The rows of follow-up tables about a subsidy, as ``followed`` wants them."""
    own = {"subsidy_id": number}
    return {"subsidy": {**own, "finess_ej": finess_ej}, "payment": own, "refund_request": own}


def _numbers(hub: Hub, head: Head) -> list[int]:
    """The line of the file of each row of a follow-up table."""
    from connectors.ecars_tables import line_numbers

    [file] = head.data["files"]
    with hub.blobs.open_raw(file["sha256"]) as kept:
        return line_numbers(kept.read())
