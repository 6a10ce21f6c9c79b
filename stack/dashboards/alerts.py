"""From an alert to the panel that shows what it is about: where the link to a dashboard in its messages leads."""

from typing import Any, Final

_PANELS: Final = {
    "GenAIExpensiveRequest": ("cost", "Dearest calls"),
    "GenAIRunawayLoop": ("agents", "Runs over time"),
    "GenAIDuplicateRequests": ("cost", "Cost by feature, over time"),
    "GenAIUserLimitExceeded": ("users", "Top spenders"),
    "GenAILatencyUnusual": ("latency", "p95 against the usual"),
    "GenAITokensUnusual": ("tokens", "Tokens by feature"),
    "GenAICostUnusual": ("cost", "Cost by feature, over time"),
    "GenAIErrorsUnusual": ("errors", "Failed and refused, by feature"),
    "GenAIModelChanged": ("overview", "Calls by model"),
    "GenAIPromptChanged": ("quality", "Versions of prompts"),
    "GenAIHourlyCostHigh": ("cost", "Money an hour, by service"),
    "GenAIUnpricedModel": ("cost", "Calls without a price"),
    "GenAIBudgetExceeded": ("cost", "Budgets of services"),
    "GenAIDailyCostHigh": ("cost", "Today and yesterday"),
    "GenAICostSpike": ("cost", "Cost by feature, over time"),
    "GenAIMonthForecastHigh": ("cost", "The month and its forecast"),
    "GenAIBudgetRateHigh": ("cost", "Budgets of services"),
    "GenAIQualityDrop": ("quality", "Drift from the usual"),
    "GenAIDrift": ("quality", "Drift from the usual"),
    "GenAIProviderDown": ("errors", "Providers"),
    "GenAIErrorBurst": ("errors", "Calls without an answer"),
    "GenAINoSuccess": ("errors", "Calls without an answer"),
    "GenAIErrorRatioHigh": ("errors", "Failures by type"),
    "GenAIRateLimited": ("tokens", "Rate limited, by model"),
    "GenAIUnattended": ("overview", "Alerts in this time range"),
    "GenAIIncidentUnacknowledged": ("overview", "Alerts in this time range"),
    "GenAILatencyHigh": ("latency", "Latency"),
    "GenAILatencyBurst": ("latency", "Where the time goes"),
    "GenAIQualityLow": ("quality", "Scores over time"),
    "GenAIHallucinationRisk": ("quality", "Worst answers"),
    "GenAIFeedbackBad": ("quality", "Satisfaction by feature"),
    "GenAIFeedbackWorse": ("quality", "Satisfaction by feature"),
    "GenAIPromptInjectionBurst": ("security", "Prompt injections by service"),
    "GenAIPersonalDataBurst": ("security", "Personal data by service"),
    "GenAISystemPromptLeak": ("security", "Latest findings"),
    "GenAISLOBurn": ("slo", "Objectives"),
    "GenAIStackServerDown": ("health", "Servers"),
    "GenAINotificationsFailing": ("health", "Messages by channel"),
    "GenAIWatchdog": ("health", "The way of an alert"),
    "GenAICollectorQueueFilling": ("health", "The Collector's queues"),
    "GenAITelemetryRefused": ("health", "Refused by the Collector"),
    "GenAITelemetryLost": ("health", "Lost on the way"),
    "GenAIStoreErrors": ("health", "Errors of the stores"),
    "GenAIStorageTrouble": ("health", "Errors of the stores"),
    "GenAIDiskFilling": ("health", "Disk free, 30 days"),
    "GenAIWarehouseDown": ("health", "Stored in the warehouse"),
    "GenAIUsageLag": ("health", "Lag of the ingest"),
    "GenAIUsageRecordsRefused": ("health", "Refused records"),
    "GenAIWarehouseQuerySlow": ("health", "Longest query"),
    "GenAIWarehousePartitions": ("health", "Months ahead"),
    "GenAIOffendersStale": ("health", "Offenders"),
    "GenAIRulesFailing": ("health", "Rules that fail"),
    "GenAIRulesSlow": ("health", "Time of the rules"),
    "GenAIConfigurationRejected": ("health", "Servers"),
    "GenAIPricesOld": ("cost", "Age of the prices"),
    "GenAIApplicationSilent": ("health", "Applications"),
    "GenAITelemetryDropped": ("health", "Left out by the instrumentation"),
    "GenAIQuotaNearlyUsed": ("tokens", "Quota used, by model"),
    "GenAITokenSpike": ("tokens", "Tokens, in and out"),
    "GenAIHourlyTokensHigh": ("tokens", "Tokens by feature"),
    "GenAIRetryStorm": ("errors", "Retries by model"),
    "GenAIFallbackStorm": ("errors", "Fallbacks"),
    "GenAICircuitBreakerOpen": ("errors", "Circuit breakers"),
    "GenAIQueueDeep": ("errors", "Queues"),
    "GenAICacheHitRateDrop": ("rag", "Hit rate by cache"),
    "GenAIUsageShift": ("overview", "Calls by outcome"),
}


def paths(pages: dict[str, dict[str, Any]]) -> dict[str, str]:
    """For each alert, the path and query of its panel's address in Grafana; ``pages`` are the dashboards by file.

    Raises:
        ValueError: an alert leads to a panel that there is not.
    """
    return {alert: _path(alert, pages[f"{page}.json"], title) for alert, (page, title) in _PANELS.items()}


def _path(alert: str, page: dict[str, Any], title: str) -> str:
    # The most detailed of several: a figure above and a graph below may have one name.
    found = [panel["id"] for panel in page["panels"] if panel["title"] == title and panel["type"] != "row"]
    if not found:
        raise ValueError(f"The alert {alert} leads to the panel {title!r} of {page['title']}, which there is not.")
    return f"/d/{page['uid']}?viewPanel=panel-{found[-1]}&from=now-3h&to=now"
