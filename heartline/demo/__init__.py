"""A fleet that does not exist: real agents' links with simulated hosts behind them, for trying out.

noise     numbers that look random and are functions of their keys
roles     what there is in such a fleet; data
hosts     the hosts of one fleet
plan      what goes wrong, where and when
signs     how a host is at an instant
physics   what follows from that; programs, kernel, hardware: what runs there and what it is made of
core_sample, family_samples   the same as agents report it
reports   what an agent has to say of it, and when
stage     what all agents share: the plan, the clock, the end
agents    one host's agent on a real link, and what happens to it; wire: what happens to the link
fleet     the process that enrols and runs them all; folder: where, and that nothing stays

Everything above `reports` is a pure function of seed, node and time: the same demo shows the same.
"""
