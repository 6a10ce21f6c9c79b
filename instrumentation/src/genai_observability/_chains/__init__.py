"""The steps of a chain, and its helpers: caches, fallbacks, circuit breakers."""
