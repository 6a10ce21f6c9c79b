"""The stack in containers: what compose.yaml leaves to a program."""
