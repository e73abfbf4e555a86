"""The table gate: may these tables be published. Great Expectations, with one suite made from each product contract.

The only importer of Great Expectations, which takes seconds: loaded when a table is judged, never before. Only counts come back
from the database: no value is asked for, and none is let out by a result, an error or a log.
"""

import builtins
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from checks.table_results import Result, TableGate, columns_fr, rows_fr
from checks.table_rules import STORED, CannotBeAsked, Rule, rules_of
from contracts_schema.products import Product, Table

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation
    from sqlalchemy.engine.interfaces import ReflectedColumn


DRAWING = ("scipy.stats", "altair")
"""What Great Expectations imports for expectations on distributions, which no contract has: a third of its import."""


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what looks through all modules asks for these
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class BrokenCheck(Exception):
    """A rule could not be answered: the check or the database is at fault, not the data. Names the rules, never a value."""


def judge(
    url: str, schema: str | None, names: Mapping[str, str], product: Product, *, parameters: Mapping[str, int]
) -> TableGate:
    """Put every rule of a product contract to the tables that stand for it.

    ``url`` is SQLAlchemy's (SQLite or PostgreSQL), ``names`` gives the physical name of each contract table, in ``schema``;
    ``parameters`` the whole numbers that the contract's conditions name, ``small_cell_threshold`` among them.

    A table that does not keep its contract (columns missing or of another type included) is bad data: the gate says so.
    BrokenCheck when a rule could not be answered at all, or a table is not there.
    """
    try:
        with _silence():
            results, broken = _judge(url, schema, names, product, parameters)
    except CannotBeAsked as found:
        results, broken = [], str(found)
    except Exception as found:  # whatever it is, its text may hold a value
        results, broken = [], _cause(f"{found}\n{type(found).__name__}:")
    if broken:
        raise BrokenCheck(
            f"{product.id} : la barrière des tables n'a pas pu répondre, rien n'est publié. "
            f"Le contrôle ou la base est en cause, pas les données : {broken}"
        )
    return TableGate(product, tuple(results))


def load() -> None:
    """Import Great Expectations now, before tables are there to judge."""
    with _silence():
        _context()


def _judge(
    url: str, schema: str | None, names: Mapping[str, str], product: Product, parameters: Mapping[str, int]
) -> tuple[list[Result], str]:
    """The results of all tables, and in words which rules could not be answered and why, if any."""
    import sqlalchemy as sa

    dialect = sa.make_url(url).get_backend_name()
    places = {name: ".".join(f'"{part}"' for part in (schema, place) if part) for name, place in names.items()}
    rules = {table.name: rules_of(table, parameters, dialect, places) for table in product.tables}
    context = _context()
    source = context.data_sources.add_sql("staging", connection_string=url.replace("$", r"\$"), create_temp_table=False)
    results: list[Result] = []
    try:
        inspector = sa.inspect(source.get_engine())
        for table in product.tables:
            columns = inspector.get_columns(names[table.name], schema)
            asset = source.add_table_asset(table.name, table_name=names[table.name], schema_name=schema)
            batch = asset.add_batch_definition_whole_table("all").get_batch()
            asked = [rule for rule in rules[table.name] if _askable(rule, table, columns)]
            answers, broken = _ask(batch, f"{product.id}.{table.name}", asked)
            if broken:
                return [], broken
            results += [_result(rule, table, answers.get(rule.id)) for rule in rules[table.name]]
    finally:
        source.get_execution_engine().close()
        source.get_engine().dispose()
    return results, ""


def _askable(rule: Rule, table: Table, columns: Sequence["ReflectedColumn"]) -> bool:
    """Whether the columns that a rule needs are there, and of the type of the contract unless it is the type that is asked."""
    found = {column["name"]: _stored(column["type"]) for column in columns}
    if not rule.needs <= set(found):
        return False
    if rule.expectation == "ExpectColumnValuesToBeInTypeList":
        return True
    return all(found[column.name] in STORED[column.type] for column in table.columns if column.name in rule.needs)


def _stored(column_type: Any) -> str:
    """The name of a column's type in its database, without length or precision."""
    return str(column_type).partition("(")[0].upper()


def _ask(batch: "Batch", suite: str, rules: Sequence[Rule]) -> tuple[dict[str, "ExpectationValidationResult"], str]:
    """The answers by rule id, and in words which rules raised instead of answering.

    The counts of a table come in one query, so one rule that raises takes others with it: each is then asked alone.
    """
    import great_expectations as gx

    expectations = {rule.id: _expectation(rule) for rule in rules}
    found = batch.validate(gx.ExpectationSuite(suite, expectations=list(expectations.values())), result_format="BASIC")
    answers = {str(answer.expectation_config.meta["rule"]): answer for answer in found.results if answer.expectation_config}
    raised = {id: cause for id, answer in answers.items() if (cause := _raised(answer))}
    if missing := set(expectations) - set(answers):
        return {}, f"sans réponse : {', '.join(sorted(missing))}"
    if not raised:
        return answers, ""
    alone = {id: _raised(batch.validate(expectations[id], result_format="BASIC")) for id in sorted(raised)}
    guilty = {id: cause for id, cause in alone.items() if cause} or raised
    return {}, ", ".join(f"{id} ({cause})" for id, cause in guilty.items())


def _raised(answer: "ExpectationValidationResult") -> str:
    """The kind of the exception behind an answer, which Great Expectations gives as a failure; empty if there is none."""
    info = answer.exception_info or {}
    for one in [info] if "raised_exception" in info else info.values():
        if isinstance(one, Mapping) and one.get("raised_exception"):
            return _cause(f"{one.get('exception_message')}\n{one.get('exception_traceback')}")
    return ""


def _cause(text: str) -> str:
    """The class of an error, from its message and traceback: the database driver's as SQLAlchemy writes it, or one of Python's.

    Nothing else is taken from the text: it may hold a value.
    """
    if found := re.search(r"\(((?:psycopg|sqlite3)[\w.]*)\)", text):
        return found[1]
    names = re.findall(r"^([A-Z]\w+):", text, re.MULTILINE)
    return next((name for name in names if hasattr(builtins, name)), "erreur de Great Expectations")


def _result(rule: Rule, table: Table, answer: "ExpectationValidationResult | None") -> Result:
    counts = answer.result if answer else {}
    evaluated, unexpected = counts.get("element_count"), counts.get("unexpected_count")
    return Result(
        id=rule.id,
        table=table.name,
        column=rule.column,
        label_fr=rule.label_fr,
        severity=rule.severity,
        success=answer.success if answer else None,
        evaluated=None if evaluated is None else int(evaluated) - int(counts.get("missing_count") or 0),
        unexpected=None if evaluated is None else int(unexpected or 0),
        rendered=_rendered(answer) if answer else None,
    )


def _rendered(answer: "ExpectationValidationResult") -> tuple[str, str]:
    """The row of Data Docs that Great Expectations makes of an answer: the rule and what was observed."""
    from great_expectations.render.renderer.content_block import ValidationResultsTableContentBlockRenderer

    block = ValidationResultsTableContentBlockRenderer.render([answer])
    _, rule, observed = block.to_json_dict()["table"][0]
    return str(rule["string_template"]["template"]), str(observed)


def _expectation(rule: Rule) -> "Expectation":
    facts = {"severity": rule.severity, "description": rule.label_fr, "meta": {"rule": rule.id}}
    kind = _own().get(rule.expectation) or _counting(rule.expectation)
    return kind(**rule.arguments, **facts)


def _context() -> Any:
    """A context of Great Expectations in memory, without progress bars, that writes and sends nothing."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when it is imported
    for name in DRAWING:
        sys.modules.setdefault(name, _Later(name))
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


@cache
def _counting(name: str) -> Any:
    """An expectation of Great Expectations that asks the database for counts alone.

    By itself it asks for counts under BOOLEAN_ONLY and does not tell them, and for values too under every other result format.
    """
    import great_expectations.expectations as gxe
    from great_expectations.expectations.expectation import parse_result_format

    base: Any = getattr(gxe, name)

    def get_validation_dependencies(self: Any, execution_engine: Any, runtime_configuration: Any, **more: Any) -> Any:
        counts_only = {**(runtime_configuration or {}), "result_format": "BOOLEAN_ONLY"}
        found = base.get_validation_dependencies(self, execution_engine, counts_only, **more)
        found.result_format = parse_result_format("BASIC")
        return found

    def _validate_sqlalchemy(self: Any, actual_column_type: Any, expected_types_list: list[str], execution_engine: Any) -> Any:
        return {"success": _stored(actual_column_type) in expected_types_list, "result": {}}  # whatever its precision

    body: dict[str, Any] = {"get_validation_dependencies": get_validation_dependencies, "__doc__": base.__doc__} | _told_once()
    if name == "ExpectColumnValuesToBeInTypeList":
        body["_validate_sqlalchemy"] = _validate_sqlalchemy
    return type(base)(f"{name}Counted", (_in_french(), base), body)


def _told_once() -> dict[str, Any]:
    """For the body of an expectation: its configuration, which is asked for fifty times a rule, is made once.

    By itself it is copied from the fields at each question, which takes a quarter of the gate's time.
    """
    from great_expectations.compatibility.pydantic import PrivateAttr
    from great_expectations.expectations.expectation import Expectation

    def configuration(self: Any) -> Any:
        if self._told is None:
            self._told = Expectation.configuration.fget(self)
        return self._told

    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        Expectation.__setattr__(self, name, value)
        if name != "_told":
            self._told = None

    return {"_told": PrivateAttr(default=None), "configuration": property(configuration), "__setattr__": __setattr__}


@cache
def _in_french() -> Any:
    """What an expectation shows in Data Docs beside its rule: how many rows break it, in French, and never one of them."""
    from great_expectations.render import LegacyDiagnosticRendererType
    from great_expectations.render.renderer.renderer import renderer

    class InFrench:
        @classmethod
        @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)
        def _diagnostic_observed_value_renderer(cls, *, result: Any, **more: Any) -> str:
            counts = result.result
            if isinstance(counts.get("observed_value"), list) and not result.success:
                return columns_fr(result.expectation_config.kwargs["column_list"], counts["observed_value"])
            if "element_count" not in counts:
                return "conforme" if result.success else "non conforme"
            return rows_fr(counts["unexpected_count"] or 0, counts["element_count"] - (counts.get("missing_count") or 0))

        @classmethod
        @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_STATEMENT)
        def _diagnostic_unexpected_statement_renderer(cls, **more: Any) -> list[Any]:
            return []

        @classmethod
        @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_TABLE)
        def _diagnostic_unexpected_table_renderer(cls, **more: Any) -> None:
            return None

    return InFrench


@cache
def _own() -> dict[str, Any]:
    """The expectations that Great Expectations lacks, or answers with more than counts or in more time."""
    from great_expectations.compatibility.sqlalchemy import sqlalchemy as sa
    from great_expectations.core.metric_domain_types import MetricDomainTypes
    from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine
    from great_expectations.expectations.expectation import BatchExpectation
    from great_expectations.expectations.metrics.metric_provider import metric_partial, metric_value
    from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

    class RowsAgainstCondition(TableMetricProvider):
        """Counted in the same query as the other counts of the table."""

        metric_name = "table.rows_against_condition"
        value_keys = ("condition",)

        @metric_partial(
            engine=SqlAlchemyExecutionEngine,
            partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
            domain_type=MetricDomainTypes.TABLE,
        )
        def _sqlalchemy(cls, metric_domain_kwargs: Any, metric_value_kwargs: Any, **more: Any) -> Any:  # noqa: N805
            kept = sa.text(f"({metric_value_kwargs['condition']})")
            return sa.func.sum(sa.case((kept, 0), else_=1)), metric_domain_kwargs, {}

    class RowsOfRepeatedKey(TableMetricProvider):
        """By groups; that of Great Expectations joins the table to its groups, in three times the time."""

        metric_name = "table.rows_of_repeated_key"
        value_keys = ("column_list",)

        @metric_value(engine=SqlAlchemyExecutionEngine)
        def _sqlalchemy(
            cls,  # noqa: N805
            execution_engine: Any,
            metric_domain_kwargs: Any,
            metric_value_kwargs: Any,
            **more: Any,
        ) -> Any:
            rows, count = execution_engine.get_domain_records(metric_domain_kwargs), sa.func.count().label("n")
            key = [sa.column(name) for name in metric_value_kwargs["column_list"]]
            repeated = sa.select(count).select_from(rows).group_by(*key).having(count > 1).subquery()
            return execution_engine.execute_query(sa.select(sa.func.sum(repeated.c.n))).scalar()

    french: Any = _in_french()

    class Counted(french):
        def _validate(self, metrics: Any, runtime_configuration: Any = None, execution_engine: Any = None) -> Any:
            against = int(metrics[self.metric_dependencies[0]] or 0)
            return {
                "success": not against,
                "result": {"element_count": metrics["table.row_count"], "unexpected_count": against},
            }

    class ExpectRowsToMeetCondition(Counted, BatchExpectation):
        condition: str
        metric_dependencies = (RowsAgainstCondition.metric_name, "table.row_count")
        success_keys = ("condition",)
        domain_keys = ("batch_id",)

    class ExpectOneRowPerKey(Counted, BatchExpectation):
        column_list: list[str]
        metric_dependencies = (RowsOfRepeatedKey.metric_name, "table.row_count")
        success_keys = ("column_list",)
        domain_keys = ("batch_id",)

    return {kind.__name__: kind for kind in (ExpectRowsToMeetCondition, ExpectOneRowPerKey)}


@contextmanager
def _silence() -> Iterator[None]:
    """Great Expectations logs and warns with the texts of errors, which may hold values."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
