"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# Properties are told by their answers: a loaded machine must not fail them for being slow.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A shell's background jobs begin with Ctrl-C ignored, and so would the processes that tests start and then stop.
signal.signal(signal.SIGINT, signal.default_int_handler)
