"""Settings of the whole suite."""

from hypothesis import HealthCheck, settings

# A property is about values, not about time: on a busy machine any example may be slow once.
settings.register_profile("heartline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("heartline")
