"""The comparison of the stores with the provider's ledger: what counts as a difference."""

from decimal import Decimal

from demo.accounts import Account, differences, of_provider
from demo.provider.ledger import Ledger
from demo.provider.usage import Usage


def test_the_ledger_becomes_an_account_without_losing_a_digit() -> None:
    ledger = Ledger()
    for retry in (False, True):
        ledger.attempted(first=not retry)
    ledger.answered("gpt-4o-2024-08-06", Usage(input_tokens=101, cached_tokens=0, output_tokens=7))
    ledger.answered("acme-internal-7b", Usage(input_tokens=9))
    assert of_provider(ledger.report(), requests=1) == Account(
        source="provider's ledger",
        calls=1,
        requests=1,
        input_tokens=110,
        cached_tokens=0,
        output_tokens=7,
        reasoning_tokens=0,
        dollars=Decimal("0.0003225"),  # 101 × 2.50 + 7 × 10 millionths
        unpriced=1,
    )


def test_a_difference_is_named_with_both_figures() -> None:
    expected = Account(source="ledger", calls=10, dollars=Decimal("0.10"))
    found = [Account(source="VictoriaLogs", calls=9, dollars=Decimal("0.10"))]
    assert differences(expected, found) == ["model calls: VictoriaLogs has 9, the ledger has 10."]


def test_a_figure_that_a_source_cannot_know_is_no_difference() -> None:
    assert differences(Account(source="ledger", calls=10), [Account(source="Prometheus", requests=3)]) == []


def test_more_than_a_millionth_of_a_dollar_is_a_difference() -> None:
    expected = Account(source="ledger", dollars=Decimal("0.1"))
    assert not differences(expected, [Account(source="Jaeger", dollars=Decimal("0.10000000000000000555"))])
    assert differences(expected, [Account(source="Jaeger", dollars=Decimal("0.100002"))])
