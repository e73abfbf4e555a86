"""What is said of the reconciliation of bordereaux: outcomes, rules, policies."""

from contracts_schema.rules import catalogue
from parts.markdown import basis, table_of, yaml_of

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
    outcomes = yaml_of("snp", "reconciliation.yaml")["outcomes"]
    return table_of(("code", "libellé"), ((f"`{name}`", entry["label_fr"]) for name, entry in outcomes.items()))


def snp_rules() -> str:
    """The rules of reconciliation, a table a family, a line a rule and one for each of its variants."""
    parts = []
    for family, title in SNP_FAMILIES.items():
        rows = []
        for rule in catalogue().values():
            if rule.family == family:
                status = basis(rule)
                missing = "bloque la ligne" if rule.if_missing == "ASK" else "note"
                rows.append(
                    (f"`{rule.id}`", rule.outcome, f"**{rule.label_fr}** {rule.reason_fr}", rule.basis_fr, missing, status)
                )
                for variant in rule.variants:
                    policy = f"politique `{variant.policy or variant.policy_of}`" if variant.policy or variant.policy_of else ""
                    rows.append(("", variant.outcome, variant.reason_fr, policy, "", ""))
        head = ("règle", "résultat", "ce que lit l'agent", "fondement", "donnée absente", "statut et sources")
        parts += [f"### {title}", "", table_of(head, rows)]
    return "\n".join(parts)


def snp_policies() -> str:
    """The switches, with the value they have when nobody chose."""
    rows = []
    for name, entry in yaml_of("snp", "reconciliation.yaml")["policies"].items():
        values = ", ".join(f"`{value}` ({outcome})" for value, outcome in entry.get("values", {}).items())
        default = "" if entry["default"] is None else f"`{entry['default']}`"
        rows.append((f"`{name}`", entry["label_fr"], default, values, entry["status"]))
    return table_of(("politique", "ce qu'elle règle", "par défaut", "valeurs (résultat)", "statut"), rows)
