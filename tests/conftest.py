"""Settings of every test."""

from hypothesis import settings

# The first example of a kernel's test compiles the kernel: time says nothing here, and the machines are noisy anyway.
settings.register_profile("robostral", deadline=None)
settings.load_profile("robostral")
