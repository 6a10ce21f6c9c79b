"""The columns of the warehouse follow the catalogue of signals."""

import dataclasses

import pytest
from genai_observability import signals

from stack import generated_page
from stack.usage import columns, page
from stack.usage.columns import CALLS, TABLES


def test_every_field_that_a_record_carries_has_a_column() -> None:
    assert list(columns.missing()) == []


def test_a_field_that_a_table_lacks_is_named_with_where_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    new = signals.Attribute(name="app.new", type="string", meaning="Something new")
    monkeypatch.setattr(columns, "TABLES", (dataclasses.replace(CALLS, fields=(*CALLS.fields, new)),))
    with pytest.raises(generated_page.PageError) as refused:
        page.page()
    assert str(refused.value) == "calls has no column for app.new: add it in postgres/ and stack/usage/columns.py."


def test_no_two_columns_of_a_table_have_one_name_or_one_signal() -> None:
    for table in TABLES:
        assert len(set(table.names)) == len(table.names)
        assert len({column.signal.name for column in table.columns}) == len(table.columns)


def test_money_is_exact_and_counts_are_whole() -> None:
    types = {column.name: column.type for column in CALLS.columns}
    assert {types[name] for name in ("cost", "cache_saved", "estimated_cost")} == {"numeric"}
    assert {types[name] for name in ("input_tokens", "retries", "images")} == {"bigint"}
