"""The command: what people type, and how the programs are started.

It may import every other package, and does so late: a command loads what it runs and nothing else,
so that an agent carries no dashboard and `--help` answers at once.
"""
