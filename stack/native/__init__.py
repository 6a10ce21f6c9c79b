"""Runs the servers of the stack as plain processes on this machine, without a container engine."""

from stack.native.health import State, status
from stack.native.process import StackError
from stack.native.run import down, seconds_until_ready, up

__all__ = ["StackError", "State", "down", "seconds_until_ready", "status", "up"]
