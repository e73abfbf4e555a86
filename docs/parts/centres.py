"""What is said of centres de santé, CPTS and FIR: sections, rules, conflicts of sources."""

from collections.abc import Iterable

from contracts_schema import cpts_facts, ecds
from contracts_schema.rules import Rule, catalogue
from parts.markdown import basis, table_of

KINDS_FR = {"text": "texte", "finess": "texte, majuscules sans espace", "whole": "nombre entier", "count": "nombre entier",
            "day": "AAAA-MM-JJ", "stamp": "JJ/MM/AAAA HH:MM:SS", "instant": "instant ISO 8601", "time": "HH:MM",
            "yes_no": "OUI, NON"}  # fmt: skip


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
        parts += [f"**{section.name}** (clé : {key})", "", table_of(("colonne", "contenu", "nécessaire"), rows)]
    return "\n".join(parts)


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
        status = basis(rule)
        rows.append((f"`{rule.id}`", rule.severity, rule.outcome, f"**{rule.label_fr}** {rule.reason_fr}", status))
        rows += [("", one.severity or "", one.outcome, one.reason_fr, "") for one in rule.variants]
    return table_of(("règle", "gravité", "effet", "ce que lit l'agent", "statut et source"), rows)


def cpts_conflicts() -> str:
    """What the claimed source says beside the others."""
    rows = ((one.label_fr, one.claimed, one.elsewhere, one.elsewhere_source or "") for one in cpts_facts.conflicts())
    return table_of(("point", "source contestée", "autres sources", "laquelle"), rows)
