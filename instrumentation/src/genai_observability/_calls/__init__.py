"""From a client's span to a finished call, and the call's way through pricing, metrics and logs."""
