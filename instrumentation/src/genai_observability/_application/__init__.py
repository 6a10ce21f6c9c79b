"""What an application says itself: steps of chains, feedback, caches, fallbacks, queues."""
