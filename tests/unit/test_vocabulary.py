"""Under which names the stack reads metrics: the old ones of the conventions, or the new."""

import re
from collections.abc import Iterator

import pytest
from genai_observability import signals

from stack.dashboards import dashboards, expressions
from stack.dashboards.validate import DashboardsError, validate
from stack.inbox.runbooks import Runbooks
from stack.rules.__main__ import render
from stack.settings import Settings
from stack.thresholds import Thresholds
from stack.vocabulary import chosen, over, selector, stored, translated
from tests.vocabulary import new_names

_RENAMED = (signals.CALL_DURATION, signals.CALL_TOKENS, signals.CALL_TOKENS_DETAIL)
_OLD = [metric.series(part) for metric in _RENAMED for part in metric.parts]
_INPUT = f'{signals.TOKEN_TYPE.label}="input"'


@pytest.fixture
def renamed() -> Iterator[None]:
    with new_names():
        yield


def rate(found: str) -> str:
    return f"rate({found}[5m])"


def test_the_old_names_are_chosen_unless_the_setting_says_otherwise() -> None:
    assert chosen() == "old"
    with new_names():
        assert chosen() == "new"
    assert chosen() == "old"


def test_the_setting_is_the_standard_variable_and_reaches_what_the_stack_starts() -> None:
    settings = Settings.load({signals.OPT_IN_VARIABLE: "http, gen_ai_latest_experimental/dup"})
    assert settings.variables()[signals.OPT_IN_VARIABLE] == "http, gen_ai_latest_experimental/dup"


@pytest.mark.usefixtures("renamed")
def test_metrics_that_differ_by_label_alone_are_one_selector() -> None:
    assert selector(signals.CALL_DURATION, 'job="shop"', part="count") == (
        '{__name__=~"gen_ai_client_inference_duration_seconds_count|gen_ai_client_embeddings_duration_seconds_count",'
        'job="shop"}'
    )


@pytest.mark.usefixtures("renamed")
def test_a_sum_of_a_histogram_is_a_counter_and_the_type_of_its_tokens_a_name() -> None:
    assert selector(signals.CALL_TOKENS, f'{signals.TOKEN_TYPE.label}="output"', part="sum") == (
        "gen_ai_client_inference_usage_output_tokens_total"
    )
    assert selector(signals.CALL_TOKENS, f'{signals.TOKEN_TYPE.label}!~"in.*"', 'job="shop"', part="count") == (
        'gen_ai_client_inference_operation_output_tokens_count{job="shop"}'
    )
    assert selector(signals.CALL_TOKENS_DETAIL, f'{signals.TOKEN_TYPE.label}="image_output"') == (
        'gen_ai_client_inference_usage_output_tokens_total{gen_ai_token_modality="image"}'
    )


@pytest.mark.usefixtures("renamed")
def test_several_kinds_get_the_label_that_they_had_in_one_metric() -> None:
    assert over(rate, signals.CALL_TOKENS, part="sum") == (
        '(label_replace(rate({__name__=~"gen_ai_client_inference_usage_input_tokens_total|'
        'gen_ai_client_embeddings_operation_input_tokens_sum"}[5m]), "gen_ai_token_type", "input", "", "") '
        "or label_replace(rate(gen_ai_client_inference_usage_output_tokens_total[5m]), "
        '"gen_ai_token_type", "output", "", ""))'
    )
    with pytest.raises(ValueError, match=r"gen_ai\.client\.token\.usage is in 2 places"):
        selector(signals.CALL_TOKENS, part="sum")


def test_with_the_old_names_a_metric_is_where_it_says() -> None:
    assert over(rate, signals.CALL_TOKENS, part="sum") == "rate(gen_ai_client_token_usage_sum[5m])"
    assert selector(signals.CALL_TOKENS, _INPUT, part="sum") == f"gen_ai_client_token_usage_sum{{{_INPUT}}}"


@pytest.mark.usefixtures("renamed")
def test_a_kind_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r'tokens\.detail has nothing of gen_ai_token_type="cashed"'):
        selector(signals.CALL_TOKENS_DETAIL, f'{signals.TOKEN_TYPE.label}="cashed"')


@pytest.mark.usefixtures("renamed")
def test_a_series_of_an_application_is_found_by_what_asks_for_it() -> None:
    chat, embeddings = ({signals.OPERATION.label: name} for name in ("chat", "embeddings"))
    kind = {signals.TOKEN_TYPE.label: "input"}
    assert stored(signals.CALL_TOKENS, chat | kind, "sum") == {
        "__name__": "gen_ai_client_inference_usage_input_tokens_total",
        signals.TOKEN_MODALITY.label: "unknown",
        **chat,
    }
    assert stored(signals.CALL_TOKENS, embeddings | kind, "sum") == {
        "__name__": "gen_ai_client_embeddings_operation_input_tokens_sum",
        **embeddings,
    }
    assert stored(signals.CALL_COST, chat) == {"__name__": signals.CALL_COST.series(), **chat}


@pytest.mark.usefixtures("renamed")
def test_no_rule_and_no_panel_asks_for_an_old_name() -> None:
    files = {**render(Thresholds.load()), **{name: str(page) for name, page in dashboards().items()}}
    old = re.compile(rf"(?<![\w:])(?:{'|'.join(_OLD)})\b")
    assert {name: old.findall(text) for name, text in files.items() if old.search(text)} == {}
    assert "gen_ai_client_inference_usage_input_tokens_total" in files["calls.yaml"]
    assert "gen_ai_client_inference_usage_input_tokens_total" in files["overview.json"]


@pytest.mark.usefixtures("renamed")
def test_what_is_recorded_keeps_its_name_so_that_months_are_not_cut_in_two() -> None:
    assert f"record: history:{_OLD[0]}:increase1m\n" in render(Thresholds.load())["history.yaml"]


@pytest.mark.usefixtures("renamed")
def test_a_panel_in_names_that_were_not_chosen_is_named() -> None:
    page = dashboards()["overview.json"]
    panel = next(panel for panel in page["panels"] if panel["title"] == "Calls a second")
    panel["targets"][0]["expr"] = f'sum({{__name__=~"{_OLD[2]}|gen_ai_client_embeddings_duration_seconds_count"}})'
    with pytest.raises(DashboardsError, match=rf"'Calls a second': a query names {_OLD[2]}, which"):
        validate({"overview.json": page})


@pytest.mark.usefixtures("renamed")
def test_a_quantile_is_over_the_calls_of_all_kinds() -> None:
    assert '__name__=~"gen_ai_client_inference_duration_seconds_bucket|' in expressions.quantile(
        0.5, signals.CALL_DURATION
    )


@pytest.mark.usefixtures("renamed")
def test_the_queries_of_runbooks_are_shown_in_the_chosen_names() -> None:
    runbooks = Runbooks(Settings.load().root / "docs" / "runbooks")
    old = re.compile(rf"(?<![\w:])(?:{'|'.join(_OLD)})\b")
    for name in runbooks.names():
        page = runbooks.html(name)
        assert page
        assert not old.search(page), name
    query = f'sum(rate({_OLD[4]}{{job="SERVICE",{_INPUT}}}[5m]))'
    assert translated(query) == (
        'sum(rate({__name__=~"gen_ai_client_inference_usage_input_tokens_total|'
        'gen_ai_client_embeddings_operation_input_tokens_sum",job="SERVICE"}[5m]))'
    )
    assert translated(f"sum(rate({_OLD[4]}[5m]))") == f"sum(rate({_OLD[4]}[5m]))", "input and output: two selectors"


def test_with_the_old_names_a_runbook_is_shown_as_it_is_written() -> None:
    assert translated(f"sum({_OLD[0]})") == f"sum({_OLD[0]})"
