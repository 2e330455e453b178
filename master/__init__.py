"""The master: the service that agents link to and viewers watch. `master.daemon` is its diagram."""
