"""Feature flags of OpenFeature (https://openfeature.dev) beside the model calls that they decide on.

Needs ``pip install 'genai-observability[openfeature]'``.
"""

from collections.abc import Collection
from typing import Any

from openfeature.flag_evaluation import FlagEvaluationDetails, FlagValueType
from openfeature.hook import Hook, HookContext, HookHints

from genai_observability import signals
from genai_observability._context import attribution as _attribution
from genai_observability._instrument import recorder


class FeatureFlagHook(Hook):
    """A hook of OpenFeature that writes each evaluation of a flag to the log, as event ``feature_flag.evaluation``.

    It needs ``pip install 'genai-observability[openfeature]'``; without it the import fails.

    Of a flag that is an experiment, the variant also becomes the ``variant`` of the attribution: until the innermost
    ``attributed_to`` block ends, as an evaluation is for one request. The value of a flag, and whom it was evaluated
    for, are not recorded.

    Args:
        experiments: Keys of the flags that are experiments.

    Example:
        from genai_observability.openfeature import FeatureFlagHook
        from openfeature import api

        api.add_hooks([FeatureFlagHook(experiments=["answer-style"])])
    """

    def __init__(self, *, experiments: Collection[str] = ()) -> None:
        self._experiments = frozenset((experiments,) if isinstance(experiments, str) else experiments)

    def after(
        self,
        hook_context: HookContext,
        details: FlagEvaluationDetails[FlagValueType],
        hints: HookHints,  # noqa: ARG002 - of the interface
    ) -> None:
        """A flag was evaluated. OpenFeature calls this.

        Args:
            hook_context: The flag, and who provides it.
            details: The variant, and why it was chosen.
            hints: Not used.
        """
        if details.variant is not None and hook_context.flag_key in self._experiments:
            _attribution.add(signals.VARIANT.name, details.variant)
        reason = None if details.reason is None else str(details.reason).lower()
        _write(hook_context, {signals.FLAG_VARIANT: details.variant, signals.FLAG_REASON: reason})

    def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:  # noqa: ARG002
        """A flag could not be evaluated: its default counts. OpenFeature calls this.

        Args:
            hook_context: The flag, and who provides it.
            exception: Why; its type is recorded, its message is not.
            hints: Not used.
        """
        _write(hook_context, {signals.FLAG_REASON: "error", signals.ERROR_TYPE: type(exception).__qualname__})


def _write(hook_context: HookContext, values: dict[signals.Attribute, Any]) -> None:
    if (recording := recorder()) is None:
        return
    provider = hook_context.provider_metadata.name if hook_context.provider_metadata else None
    known = {signals.FLAG_KEY: hook_context.flag_key, signals.FLAG_PROVIDER: provider, **values}
    attributes = {attribute.name: _attribution.text(value) for attribute, value in known.items() if value is not None}
    recording.write_event(signals.FLAG_EVENT, f"feature flag {attributes[signals.FLAG_KEY.name]}", attributes)
