"""What is counted and measured, in few and bounded series."""
