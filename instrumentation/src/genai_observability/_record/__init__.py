"""What becomes of a finished call: read, compared, priced, counted, logged."""
