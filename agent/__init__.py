"""The agent: the daemon on every host. `agent.daemon` is its diagram.

It is read-only by construction: nothing that a master can send runs a command, writes a file
outside the agent's own state folder, or widens what the agent reads.
"""
