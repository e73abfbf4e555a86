"""Writes the generated parts of these pages: ``python docs/generate.py``.

They come from the rule catalogue, the contracts, the views and the command line, so that nothing is written twice; the same
sources always give the same text. Must never touch what stands outside the markers.
"""

import re
import sys
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import typer.main
import yaml
from typer.testing import CliRunner

from checks.deliveries import limits
from connectors.transmissions import FAMILIES as ENDINGS
from contracts_schema import cpts_facts, ecds
from contracts_schema import families as pmsi
from contracts_schema import parameters as dated
from contracts_schema.bordereau_profiles import profiles
from contracts_schema.datasets import Column, Dataset, datasets
from contracts_schema.french import euros
from contracts_schema.layouts import index, layouts
from contracts_schema.parameters.record import STATUSES_FR
from contracts_schema.products import CAMPAIGN, CONTRACTS, CPOM, RECONCILIATION, VIEWS, Product, products
from contracts_schema.rules import Rule, catalogue
from flows.cli import app
from flows.law_shown import gathered, shown
from warehouse import references, views

FOLDER = Path(__file__).parent
PARTS = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH = 100
INDICATORS = ("OS_11", "OS_13", "HPR_3_2", "HPR_4_3")
COMPUTED = {
    "ACTIVITY": ("out_ars__pmsi_activity", "out_ars__pmsi_activity_by_ghm", "out_ars__pmsi_unit_activity"),
    **dict.fromkeys(INDICATORS, ("out_ars__pmsi_indicator",)),
}
"""Definitions of indicators.yaml that views compute."""


def _basis(rule: Rule) -> str:
    """The status of a rule in French, and its source."""
    return " : ".join(filter(None, (STATUSES_FR[rule.status], rule.source)))


def page(path: Path) -> str:
    """The text of a page with its generated parts as they should be. KeyError for a part that is not known."""
    return PARTS.sub(lambda part: f"{part[1]}\n{GENERATED[part[2]]()}\n{part[3]}", path.read_text(encoding="utf-8"))


def commands() -> str:
    """The help of the program, then of each command."""
    names = typer.main.get_group(app).commands
    parts = ["## ecluse", _help()]
    for name in names:
        parts += [f"## ecluse {name}", _help(name)]
    return "\n".join(parts)


def families() -> str:
    """The families of files, the table that each one's rows make, and what is kept apart."""
    rows = []
    for name, family in pmsi.FAMILIES.items():
        endings = ", ".join(f"`.{ending}`" for ending in ENDINGS[name])
        apart = set(pmsi.restricted_columns(family)) - {"line_number", family.key}
        open_table = "" if family.closed else f"`{family.table}`"
        closed_table = f"`{family.table}`: all" if family.closed else ""
        if family.restricted_table:
            closed_table = f"`{family.restricted_table}`: {_code(sorted(apart))}"
        rows.append((family.record, endings, family.key or "", open_table, closed_table))
    return _table(("record", "endings", "once in a file", "table", "restricted table: fields kept apart"), rows)


def formats() -> str:
    """The record formats that are read, with who confirms them."""
    rows = []
    for family in pmsi.FAMILIES.values():
        for found in pmsi.formats(family).values():
            entry = index()[found.format_id]
            zones = ", ".join(f"{zone.name} ({zone.width})" for zone in found.zones)
            length = found.fixed_length or entry["variable_formula"]
            rows.append((family.record, found.version, entry["years"], length, zones, entry["status"], entry["confirmed_by"]))
    return _table(("record", "format", "years", "fixed bytes", "zones (bytes each)", "status", "confirmed by"), rows)


def rules() -> str:
    """The rule catalogue, rules of a line first."""
    parts = []
    for level, title in (("line", "### Rules of a line"), ("delivery", "### Rules of a delivery")):
        found = [rule for rule in catalogue().values() if rule.level == level and rule.id.startswith("pmsi.")]
        rows = ((f"`{rule.id}`", rule.outcome, rule.label_fr, rule.source, rule.status) for rule in found)
        parts += [title, "", _table(("rule", "outcome", "what it says", "source", "status"), rows)]
    return "\n".join(parts)


def bordereau_rules() -> str:
    """The rules of the reading of bordereaux, in the order in which they apply."""
    found = [rule for rule in catalogue().values() if rule.id.startswith("bordereau.")]
    names = {"delivery": "file", "line": "line"}
    rows = ((f"`{rule.id}`", names[rule.level], rule.outcome, rule.label_fr, rule.source) for rule in found)
    return _table(("rule", "about", "outcome", "what it says", "source"), rows)


def bordereau_headings() -> str:
    """What each profile reads: the labels above the table and the headings of its columns, by canonical name."""
    parts = []
    for profile in profiles():
        needed = dict.fromkeys(profile.required, "yes") | dict.fromkeys(("date", "month"), "one of the two")
        columns = [
            (f"`{name}`", ", ".join(told["names"]), needed.get(name, "")) for name, told in profile.facts["columns"].items()
        ]
        fields = [(f"`{name}`", ", ".join(labels)) for name, labels in profile.facts["header_fields"].items()]
        parts += [
            f"Profile `{profile.id}`, version {profile.version} ({profile.title_fr}).\n",
            _table(("column", "headings accepted", "compulsory"), columns),
            _table(("fact above the table", "labels accepted; the value is at the right, else below"), fields),
        ]
    return "\n".join(parts)


def dataset_rules() -> str:
    """The rules of datasets, those of a row first."""
    found = [rule for rule in catalogue().values() if rule.id.startswith("dataset.")]
    names = {"delivery": "file", "line": "row"}
    rows = (
        (f"`{rule.id}`", names[rule.level], rule.outcome, rule.label_fr, rule.source)
        for rule in sorted(found, key=lambda rule: rule.level, reverse=True)
    )
    return _table(("rule", "about", "outcome", "what it says", "source"), rows)


def dataset_contracts() -> str:
    """Each dataset: its columns with the headings that a file may give them, its keys, layouts and thresholds."""
    return "\n".join(part for dataset in datasets().values() for part in _dataset(dataset))


def thresholds() -> str:
    """When a whole delivery is held."""
    text = _yaml("pmsi", "transmission.yaml")
    rows = [(f"`{name}`", f"{value} %") for name, value in limits().items()]
    return _table(("threshold", "value"), rows) + f"\nStatus: {text['status']}. Source: {text['source']}.\n"


def view_columns() -> str:
    """Every view: what its SQL file says of it, and its columns as the engine sees them."""
    parts = []
    with duckdb.connect(":memory:") as engine:
        rsa = pmsi.FAMILIES["rsa"]
        engine.register(f"{views.SEGMENT}{rsa.table}", pl.DataFrame(schema=pmsi.schema(rsa)))
        for name in references.NAMES:
            references.create(engine, name, {})
        for name, view in views.views().items():
            engine.execute(f"create temp view {name} as {view.sql}")
            columns = engine.execute(f"describe {name}").fetchall()
            known = _labels(name)
            described = ((f"`{column}`", kind.lower(), known.get(column, "")) for column, kind, *_ in columns)
            parts += [f"### {name}", "", _comment(view.sql), "", _table(("column", "type", "label"), described)]
    return "\n".join(parts)


def definitions() -> str:
    """The definitions behind the published figures, as indicators.yaml writes them."""
    entries = {entry["id"]: entry for entry in _yaml("pmsi", "indicators.yaml")["indicators"]}
    parts = []
    for name, made in COMPUTED.items():
        entry = entries[name]
        facts = [(key, _fact(value)) for key, value in entry.items() if key not in ("id", "label_fr")]
        parts += [f"### {name}", "", f"{entry['label_fr']}. Computed by {_code(made)}.", "", _table(("", ""), facts)]
    return "\n".join(parts)


def dictionary() -> str:
    """What a recipient gets of the PMSI, column by column."""
    return "\n".join(part for product in products().values() if product.made_by == VIEWS for part in _product(product))


def snp_dictionary() -> str:
    """What a recipient gets of the reconciliation, column by column."""
    return "\n".join(part for product in products().values() if product.made_by == RECONCILIATION for part in _product(product))


def cpom_dictionary() -> str:
    """What a recipient gets of the contracts, column by column."""
    return "\n".join(part for product in products().values() if product.made_by == CPOM for part in _product(product))


def cds_dictionary() -> str:
    """What caisses and ARS get of the campaigns, column by column."""
    return "\n".join(part for product in products().values() if product.made_by == CAMPAIGN for part in _product(product))


def cpts_dictionary() -> str:
    """What an ARS gets of CPTS, FIR and FMIS, column by column."""
    return "\n".join(part for product in products().values() if product.made_by == CONTRACTS for part in _product(product))


def answer_rules() -> str:
    """The rules of the reading of filled workbooks."""
    found = [rule for rule in catalogue().values() if rule.id.startswith("answer.")]
    return _table(("rule", "what it says"), ((f"`{rule.id}`", rule.label_fr) for rule in found))


def parameters() -> str:
    """The dated parameters that a publication depends on."""
    rows = [
        (f"`{entry['id']}`", entry["label_fr"], value["value"], value["valid_from"], value["valid_to"] or "", value["status"])
        for entry in _yaml("parameters", "publication.yaml")
        for value in entry["values"]
    ]
    return _table(("parameter", "label", "value", "from", "until", "status"), rows)


SNP_FAMILIES = {
    "declaration": "Déclaration",
    "protocol": "Protocole",
    "structure": "Structure",
    "team": "Équipe",
    "amount": "Montants et actes",
    "duplicate": "Doublons et versions",
    "submission": "Le bordereau lui-même",
    "review": "Après paiement",
}


def snp_outcomes() -> str:
    """What each outcome is called."""
    outcomes = _yaml("snp", "reconciliation.yaml")["outcomes"]
    return _table(("code", "libellé"), ((f"`{name}`", entry["label_fr"]) for name, entry in outcomes.items()))


def snp_rules() -> str:
    """The rules of reconciliation, a table a family, a line a rule and one for each of its variants."""
    parts = []
    for family, title in SNP_FAMILIES.items():
        rows = []
        for rule in catalogue().values():
            if rule.family == family:
                status = _basis(rule)
                missing = "bloque la ligne" if rule.if_missing == "ASK" else "note"
                rows.append(
                    (f"`{rule.id}`", rule.outcome, f"**{rule.label_fr}** {rule.reason_fr}", rule.basis_fr, missing, status)
                )
                for variant in rule.variants:
                    policy = f"politique `{variant.policy or variant.policy_of}`" if variant.policy or variant.policy_of else ""
                    rows.append(("", variant.outcome, variant.reason_fr, policy, "", ""))
        head = ("règle", "résultat", "ce que lit l'agent", "fondement", "donnée absente", "statut et sources")
        parts += [f"### {title}", "", _table(head, rows)]
    return "\n".join(parts)


def snp_policies() -> str:
    """The switches, with the value they have when nobody chose."""
    rows = []
    for name, entry in _yaml("snp", "reconciliation.yaml")["policies"].items():
        values = ", ".join(f"`{value}` ({outcome})" for value, outcome in entry.get("values", {}).items())
        default = "" if entry["default"] is None else f"`{entry['default']}`"
        rows.append((f"`{name}`", entry["label_fr"], default, values, entry["status"]))
    return _table(("politique", "ce qu'elle règle", "par défaut", "valeurs (résultat)", "statut"), rows)


CPOM_LEVELS = {
    "sheet": "Feuille",
    "row": "Ligne",
    "cell": "Cellule",
    "contract": "Contrat",
    "finance": "Finances",
    "finance_region": "Finances de la région",
    "recognition": "Reconnaissances",
    "sanction": "Sanctions",
    "campaign": "Campagne",
}
CPOM_SEVERITIES = {"block": "bloquant", "warn": "avertissement", "info": "information"}


def cpom_rules() -> str:
    """The rules of the CPOM, a table a level, a line a rule and one for each of its variants."""
    parts = []
    for level, title in CPOM_LEVELS.items():
        rows = []
        for rule in catalogue().values():
            if rule.family == "cpom" and rule.level == level:
                head = (f"`{rule.id}`", CPOM_SEVERITIES[rule.outcome], f"**{rule.label_fr}.** {rule.reason_fr}", rule.change_fr)
                rows.append(
                    (
                        *head,
                        rule.missing_fr,
                        _basis(rule),
                    )
                )
                for one in rule.variants:
                    rows.append(("", CPOM_SEVERITIES[one.outcome], one.reason_fr, one.change_fr, "", ""))
        head = ("règle", "gravité", "ce que lit l'établissement", "ce qui est attendu", "donnée absente", "statut et source")
        parts += [f"### {title}", "", _table(head, rows)]
    return "\n".join(parts)


def cpom_policies() -> str:
    """The readings of the guide, with the value they have when nobody chose."""
    rows = []
    for name, entry in _yaml("cpom", "policies.yaml")["policies"].items():
        given = entry["default"]
        default = ("oui" if given else "non") if isinstance(given, bool) else "" if given is None else f"`{given}`"
        lines = ", ".join(f"L{line}" for line in entry.get("lines", ()))
        rows.append((f"`{name}`", entry["label_fr"], default, entry.get("contradiction", ""), lines, entry["status"]))
    return _table(("politique", "ce qu'elle règle", "par défaut", "contradiction", "lignes du guide", "statut"), rows)


def cpom_tables() -> str:
    """The reference and follow-up tables: their header, and the rules that need them."""
    rows = []
    for name, told in _yaml("cpom", "tables.yaml")["tables"].items():
        rows.append((name, f"`{';'.join(told['columns'])}`", ", ".join(told["rules"])))
    return _table(("table", "en-tête", "règles"), rows)


def law() -> str:
    """Every dated parameter over time: value, status, texts read."""
    parts = []
    for one in dated.parameters().values():
        rows = []
        for value in gathered(map(shown, dated.timeline(one.id))):
            amount = euros(value["value"]) if one.kind == "cents" and value["value"] is not None else value["value"]
            amount = "inconnue" if amount is None else amount
            known = STATUSES_FR[value["status"]]
            days = value["valid_from"], value["valid_to"] or ""
            rows.append((value["name"] or "", value["dimensions"], *days, amount, known, value["reference"]))
        head = ("nom", "pour", "du", "au (exclu)", "valeur", "statut", "textes lus")
        parts += [f"### `{one.id}`", "", f"{one.label_fr}. Unité : {one.unit}.", "", _table(head, rows)]
    return "\n".join(parts)


def statuses() -> str:
    """From the strongest to the weakest."""
    firm = ((known, "ferme" if dated.is_firm(known) else "sous réserve", told) for known, told in STATUSES_FR.items())
    return _table(("statut", "montant", "en français"), ((f"`{known}`", what, told) for known, what, told in firm))


def snp_scenarios() -> str:
    """Every scenario of the reconciliation: what is known, what is claimed, what comes out."""
    spec = yaml.safe_load((FOLDER.parent / "tests" / "spec" / "snp_scenarios.yaml").read_text(encoding="utf-8"))
    fixtures = spec["fixtures"]
    parts = ["### Structures et professionnels fictifs", "", _records(fixtures["structures"], STRUCTURE)]
    parts += [_records(fixtures["professionals"], PROFESSIONAL)]
    text = "\n".join([*parts, *(part for scenario in spec["scenarios"] for part in _scenario(scenario))])
    return re.sub(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d:\d\d)(\S*?)(?= ;))?", _french_day, text)


def cds_sections() -> str:
    """The columns of the five sections of an e-CDS export."""
    return _sections(ecds.sections())


def cpts_sections() -> str:
    """The columns of the inputs about CPTS and FIR."""
    return _sections(cpts_facts.sections())


def _sections(found: dict[str, ecds.Section]) -> str:
    """A table a section: its headings, what each holds, whether the header must have it."""
    parts = []
    for section in found.values():
        rows = ((f"`{one.heading}`", _holds(one), "oui" if one.required else "non") for one in section.columns)
        key = ", ".join(f"`{one.heading}`" for one in section.columns if one.name in section.key) or "non documentée"
        parts += [f"**{section.name}** (clé : {key})", "", _table(("colonne", "contenu", "nécessaire"), rows)]
    return "\n".join(parts)


KINDS_FR = {"text": "texte", "finess": "texte, majuscules sans espace", "whole": "nombre entier", "count": "nombre entier",
            "day": "AAAA-MM-JJ", "stamp": "JJ/MM/AAAA HH:MM:SS", "instant": "instant ISO 8601", "time": "HH:MM",
            "yes_no": "OUI, NON"}  # fmt: skip


def _holds(column: ecds.Column) -> str:
    if column.kind == "decimal":
        return f"nombre, {column.places} décimales, point décimal"
    return ", ".join(column.values) if column.values else KINDS_FR[column.kind]


def cds_rules() -> str:
    """The rules about centres de santé."""
    return _effects(rule for rule in catalogue().values() if (rule.family or "").startswith("cds_"))


def cpts_rules() -> str:
    """The rules about CPTS and FIR."""
    return _effects(rule for rule in catalogue().values() if rule.family in ("cpts", "fir"))


def _effects(found: Iterable[Rule]) -> str:
    """A line a rule, and one for each of its variants."""
    rows = []
    for rule in found:
        status = _basis(rule)
        rows.append((f"`{rule.id}`", rule.severity, rule.outcome, f"**{rule.label_fr}** {rule.reason_fr}", status))
        rows += [("", one.severity or "", one.outcome, one.reason_fr, "") for one in rule.variants]
    return _table(("règle", "gravité", "effet", "ce que lit l'agent", "statut et source"), rows)


def cpts_conflicts() -> str:
    """What the claimed source says beside the others."""
    rows = ((one.label_fr, one.claimed, one.elsewhere, one.elsewhere_source or "") for one in cpts_facts.conflicts())
    return _table(("point", "source contestée", "autres sources", "laquelle"), rows)


GENERATED: dict[str, Callable[[], str]] = {
    part.__name__: part
    for part in (
        commands,
        families,
        formats,
        rules,
        bordereau_rules,
        bordereau_headings,
        dataset_rules,
        dataset_contracts,
        thresholds,
        view_columns,
        definitions,
        dictionary,
        snp_dictionary,
        answer_rules,
        parameters,
        snp_outcomes,
        snp_rules,
        snp_policies,
        law,
        statuses,
        snp_scenarios,
        cds_sections,
        cds_rules,
        cpts_sections,
        cpts_rules,
        cpts_conflicts,
        cpom_rules,
        cpom_policies,
        cpom_tables,
        cpom_dictionary,
        cds_dictionary,
        cpts_dictionary,
    )
}


def _dataset(dataset: Dataset) -> Iterable[str]:
    yield f"### {dataset.id} : {dataset.label_fr}\n"
    layouts_of = ", ".join(f"`{layout.id}`" for layout in dataset.layouts)
    once = _code(dataset.keys)
    periods = f" Periods of one {_code(dataset.interval_of)} never overlap." if dataset.interval_of else ""
    yield f"Scope `{dataset.scope}`; layouts {layouts_of}; once in a file: {once}.{periods} Held above"
    yield f"{dataset.quarantine_percent} % of rows set aside, or {dataset.shrink_percent} % of rows lost."
    yield f"Status: {dataset.status}. Source: {dataset.source}.\n"
    rows = [
        (f"`{column.name}`", column.type, _needed(column), _allowed(column), column.classification, ", ".join(column.headings))
        for column in dataset.columns
    ]
    yield _table(("column", "type", "needed", "holds", "class", "headings (accents, case and punctuation aside)"), rows)


def _needed(column: Column) -> str:
    return "yes" if column.required else ", ".join(column.required_for) or ("the heading" if column.present else "")


def _allowed(column: Column) -> str:
    if column.identifier:
        return column.identifier.upper() + (", malformed: told" if column.malformed == "warn" else "")
    codes = ", ".join(dict.fromkeys(column.codes.values()))
    return codes or (f"`{column.pattern}`" if column.pattern else "")


def _scenario(scenario: dict[str, Any]) -> Iterable[str]:
    lines = {line["line"]: line for line in scenario["lines"]}
    yield f"### {scenario['id']} : {scenario['title']}\n"
    if "note" in scenario:
        yield f"{scenario['note']}\n"
    for found in scenario["declarations"]:
        yield f"- Déclaration {_told(found, DECLARATION)}"
    for found in scenario["bordereaux"]:
        yield f"- Bordereau {_told(found, BORDEREAU)}"
    yield from (
        f"- Structure {_told(entry, STRUCTURE | {'structure': '', 'closed': 'fermée le'})}"
        for entry in scenario.get("structures", [])
    )
    yield from (f"- Acte de droit commun : {_told(entry, ORDINARY)}" for entry in scenario.get("common_law", []))
    for name, value in scenario.get("policies", {}).items():
        yield f"- Politique `{name}` : {value}"
    for decision in scenario["decisions"]:
        read_on = decision.get("synchronised")
        seen = f", dernière lecture complète des dossiers le {read_on}" if read_on else ""
        paid = "".join(f", déjà payé {entry['line']} : {_amount(entry['amount'])}" for entry in decision.get("paid", []))
        yield f"\nDécision du {decision['decided']}{seen}{paid} :\n"
        yield _table(SCENARIO, (_line(lines[row["line"]], row) for row in decision["expected"]))
        yield from (f"Sur le bordereau, sans effet sur les lignes : {found}.\n" for found in decision.get("bordereaux", []))
        for row in decision.get("review", []):
            yield f"{row['rule']}, ligne {row['line']} : {row['difference']} centimes de plus qu'à la décision précédente.\n"


SCENARIO = ("ligne", "protocole", "acte", "jour", "délégué", "nombre", "demandé", "résultat", "constats", "à payer (centimes)")
DECLARATION = {
    "dossier": "",
    "structure": "",
    "deposited": "déposée le",
    "protocols": "protocoles",
    "added": "ajoutés ensuite",
    "delegates": "délégués",
    "delegating": "délégants",
    "form": "formulaire",
    "named": "nomme",
    "name": "sous le nom",
    "events": "événements",
    "pieces_missing": "pièces manquantes de",
    "known_from": "connue depuis le",
}
BORDEREAU = {
    "bordereau": "",
    "structure": "",
    "received": "reçu le",
    "period": "période",
    "nic": "NIC",
    "finess": "FINESS",
    "kind": "type",
    "iban": "coordonnées bancaires",
    "certified": "certifié",
    "sender": "envoyé par",
    "total": "total déclaré",
    "replaces": "remplace",
    "grain": "grain",
}
STRUCTURE = {
    "structure": "structure",
    "kind": "type",
    "siret": "SIRET",
    "name": "nom",
    "aci": "adhésion ou ACI",
    "aci_until": "fin (exclue)",
    "project": "projet validé",
    "caisse": "caisse",
}
PROFESSIONAL = {"ref": "professionnel", "profession": "profession", "rpps": "RPPS", "active_to": "inactif à partir du"}
ORDINARY = {"rpps": "professionnel", "day": "le", "kind": ""}
WORDS = {
    "all": "tous",
    "pharmacist_test": "test du pharmacien",
    "changed": "modifiées",
    "month": "mois",
    "False": "non",
    "acces_direct": "accès direct",
}


def _told(entry: dict[str, Any], names: dict[str, str]) -> str:
    """An entry of a scenario in a line: each known field under its French name."""
    return " ; ".join(f"{names.get(name, name)} {_value(value)}".strip() for name, value in entry.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "aucun"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items())
    return WORDS.get(str(value), str(value))


def _line(line: dict[str, Any], expected: dict[str, Any]) -> Iterable[object]:
    keys = [f"patient {line['patient']}" if "patient" in line else "", f"{line['age']} ans" if "age" in line else ""]
    keys += [f"réf. {line['ref']}" if "ref" in line else ""]
    told = ", ".join(filter(None, keys))
    delegate = line.get("delegate") or line.get("rpps") or "(absent)"
    unit = f" (tarif {_amount(line['unit'])})" if "unit" in line else ""
    yield f"{line['line']} ({told})" if told else line["line"]
    yield line.get("protocol") or f"« {line['label']} »"
    yield line["act"]
    yield line.get("day") or line["month"]
    yield delegate + (" (un chiffre faux)" if line.get("wrong_digit") else "") + (" (rétabli)" if line.get("repaired") else "")
    yield line.get("count", 1)
    yield _amount(line["amount"]) + unit
    yield expected["outcome"]
    yield ", ".join(expected["findings"]) or "-"
    yield expected["payable"]


def _records(entries: list[dict[str, Any]], names: dict[str, str]) -> str:
    return _table(names.values(), ([entry.get(name, "") for name in names] for entry in entries))


def _french_day(found: re.Match[str]) -> str:
    hour = f" {found[4]} ({found[5]})" if found[4] else ""
    return f"{found[3]}/{found[2]}/{found[1]}{hour}"


def _amount(typed: str) -> str:
    return typed.replace(".", ",")


def _help(*command: str) -> str:
    shown = CliRunner().invoke(app, [*command, "--help"], prog_name="ecluse", terminal_width=WIDTH).output
    return f"\n```text\n{shown.rstrip()}\n```\n"


def _product(product: Product) -> Iterable[str]:
    territory = "region" if product.recipient_kind == "ars" else "caisse"
    yield f"### `{product.recipient_kind}-<{territory}>/{product.id}`\n\n{product.label_fr}. {product.description_fr}"
    for table in product.tables:
        rows = ((f"`{c.name}`", c.type, c.classification, c.label_fr) for c in table.columns)
        yield f"#### {table.name}\n\n{table.label_fr}, from `{table.view}`. One row per {_code(table.keys)}.\n"
        yield _table(("column", "type", "classification", "label"), rows)
        for mask in table.mask:
            yield f"- {_code(mask.hides)}: empty where {_code(mask.counts, ' or ')} is under the threshold."
        yield ""


def _labels(view: str) -> dict[str, str]:
    """What a column is called: in a product made from this view, else by the record formats, newest first."""
    found: dict[str, str] = {}
    for layout in layouts("MCO", "RSA").values():
        zones = (field for zone in layout.zones for field in zone.fields)
        found |= {field.name: field.label_fr for field in (*zones, *layout.fields)}
    tables = (table for product in products().values() for table in product.tables if table.view == view)
    return found | {column.name: column.label_fr for table in tables for column in table.columns}


def _comment(sql: str) -> str:
    lines = [line.removeprefix("-- ") for line in sql.splitlines() if line.startswith("-- ")]
    return " ".join("Built head by head." if line == views.PER_HEAD.removeprefix("-- ") else line for line in lines)


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return "<br>".join(f"`{name}`: {part}" for name, part in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _code(names: Iterable[str], between: str = ", ") -> str:
    return between.join(f"`{name}`" for name in names)


def _yaml(*path: str) -> Any:
    return yaml.safe_load(files("contracts_schema").joinpath(*path).read_text(encoding="utf-8"))


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([_cell(str(value)) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    """Text that neither ends its cell nor passes for a tag."""
    return re.sub(r"<(?!br>)", r"\\<", text.replace("|", "\\|"))


if __name__ == "__main__":
    for found in sorted(FOLDER.glob("*.md")):
        found.write_text(page(found), encoding="utf-8")
        sys.stdout.write(f"{found.name}\n")
