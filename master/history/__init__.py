"""The past of every node: what was sampled, kept in compressed columns, and how it is asked for."""
