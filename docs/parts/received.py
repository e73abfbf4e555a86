"""What is said of tables that people send: bordereaux, datasets, workbooks filled and sent back."""

from collections.abc import Iterable

from contracts_schema.bordereau_profiles import profiles
from contracts_schema.datasets import Column, Dataset, datasets
from contracts_schema.rules import catalogue
from parts.markdown import code, table_of


def bordereau_rules() -> str:
    """The rules of the reading of bordereaux, in the order in which they apply."""
    found = [rule for rule in catalogue().values() if rule.id.startswith("bordereau.")]
    names = {"delivery": "file", "line": "line"}
    rows = ((f"`{rule.id}`", names[rule.level], rule.outcome, rule.label_fr, rule.source) for rule in found)
    return table_of(("rule", "about", "outcome", "what it says", "source"), rows)


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
            table_of(("column", "headings accepted", "compulsory"), columns),
            table_of(("fact above the table", "labels accepted; the value is at the right, else below"), fields),
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
    return table_of(("rule", "about", "outcome", "what it says", "source"), rows)


def dataset_contracts() -> str:
    """Each dataset: its columns with the headings that a file may give them, its keys, layouts and thresholds."""
    return "\n".join(part for dataset in datasets().values() for part in _dataset(dataset))


def answer_rules() -> str:
    """The rules of the reading of filled workbooks."""
    found = [rule for rule in catalogue().values() if rule.id.startswith("answer.")]
    return table_of(("rule", "what it says"), ((f"`{rule.id}`", rule.label_fr) for rule in found))


def _dataset(dataset: Dataset) -> Iterable[str]:
    yield f"### {dataset.id} : {dataset.label_fr}\n"
    layouts_of = ", ".join(f"`{layout.id}`" for layout in dataset.layouts)
    once = code(dataset.keys)
    periods = f" Periods of one {code(dataset.interval_of)} never overlap." if dataset.interval_of else ""
    yield f"Scope `{dataset.scope}`; layouts {layouts_of}; once in a file: {once}.{periods} Held above"
    yield f"{dataset.quarantine_percent} % of rows set aside, or {dataset.shrink_percent} % of rows lost."
    yield f"Status: {dataset.status}. Source: {dataset.source}.\n"
    rows = [
        (f"`{column.name}`", column.type, _needed(column), _allowed(column), column.classification, ", ".join(column.headings))
        for column in dataset.columns
    ]
    yield table_of(("column", "type", "needed", "holds", "class", "headings (accents, case and punctuation aside)"), rows)


def _needed(column: Column) -> str:
    return "yes" if column.required else ", ".join(column.required_for) or ("the heading" if column.present else "")


def _allowed(column: Column) -> str:
    if column.identifier:
        return column.identifier.upper() + (", malformed: told" if column.malformed == "warn" else "")
    codes = ", ".join(dict.fromkeys(column.codes.values()))
    return codes or (f"`{column.pattern}`" if column.pattern else "")
