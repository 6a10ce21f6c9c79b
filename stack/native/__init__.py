"""Runs the servers of the stack as plain processes on this machine, without a container engine."""

from stack.native.process import StackError

__all__ = ["StackError"]
