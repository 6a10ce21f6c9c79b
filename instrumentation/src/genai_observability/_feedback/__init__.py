"""What users and scorers say of answers, and how it finds the call that it is about."""
