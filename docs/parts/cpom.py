"""What is said of the CPOM: rules, policies, reference tables."""

from contracts_schema.rules import catalogue
from parts.markdown import basis, table_of, yaml_of

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
                said = f"**{rule.label_fr}.** {rule.reason_fr}"
                severity = CPOM_SEVERITIES[rule.outcome]
                rows.append((f"`{rule.id}`", severity, said, rule.change_fr, rule.missing_fr, basis(rule)))
                for one in rule.variants:
                    rows.append(("", CPOM_SEVERITIES[one.outcome], one.reason_fr, one.change_fr, "", ""))
        head = ("règle", "gravité", "ce que lit l'établissement", "ce qui est attendu", "donnée absente", "statut et source")
        parts += [f"### {title}", "", table_of(head, rows)]
    return "\n".join(parts)


def cpom_policies() -> str:
    """The readings of the guide, with the value they have when nobody chose."""
    rows = []
    for name, entry in yaml_of("cpom", "policies.yaml")["policies"].items():
        given = entry["default"]
        default = ("oui" if given else "non") if isinstance(given, bool) else "" if given is None else f"`{given}`"
        lines = ", ".join(f"L{line}" for line in entry.get("lines", ()))
        rows.append((f"`{name}`", entry["label_fr"], default, entry.get("contradiction", ""), lines, entry["status"]))
    return table_of(("politique", "ce qu'elle règle", "par défaut", "contradiction", "lignes du guide", "statut"), rows)


def cpom_tables() -> str:
    """The reference and follow-up tables: their header, and the rules that need them."""
    rows = []
    for name, told in yaml_of("cpom", "tables.yaml")["tables"].items():
        rows.append((name, f"`{';'.join(told['columns'])}`", ", ".join(told["rules"])))
    return table_of(("table", "en-tête", "règles"), rows)
