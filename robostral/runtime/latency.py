"""How long the policy takes, measured, and what follows from it: chunks are streamed, or synchronous."""

SMOOTHING = 0.125
"""Share of the newest answer in the smoothed latency."""
RETURN_SHARE = 0.8
"""Chunks are streamed again once the latency is below this share of the trained one: no to and fro at the edge."""
PATIENCE = 4.0
"""A synchronous answer may take this many times the smoothed latency. The arm waits at rest, so patience costs time
only; with answers spread as widely as an exponential law spreads them one in 55 would be later."""


class Latency:
    """Latency from an observation to its usable chunk, and the mode of asking that it allows.

    Streamed: asked at every policy step, answered in motion; what the arm did meanwhile is skipped. Synchronous:
    asked at rest, and the arm stands until the answer comes; nothing is skipped.

    Args:
        trained_ns: What the policy was trained for [ns]; beyond it chunks are synchronous.
        valid_ns: How long after its observation a streamed chunk may be used [ns].
        cap_ns: How long after its observation any chunk may be used: the site's own cap [ns].

    Attributes:
        smooth_ns: Smoothed [ns].
        synchronous: Whether chunks are synchronous.

    Note:
        A chunk's validity is a promise about an arm that has moved on since the observation. One that stands where it
        was observed has not: of a synchronous chunk the steps within `chunk_valid_s` are followed from their
        beginning, whatever the latency was. The rest of the world may have changed meanwhile, and `cap_ns` bounds that.
    """

    def __init__(self, trained_ns: float, valid_ns: int, cap_ns: int) -> None:
        self.trained_ns, self._valid_ns, self._cap_ns = trained_ns, valid_ns, cap_ns
        self.smooth_ns, self.synchronous = 0.0, False

    def note(self, latency_ns: int) -> None:
        """Take the latency of one more answer [ns] into account."""
        self.smooth_ns += SMOOTHING * (latency_ns - self.smooth_ns)
        self.synchronous = self.smooth_ns > self.trained_ns * (RETURN_SHARE if self.synchronous else 1.0)

    @property
    def too_slow(self) -> bool:
        """Whether no answer could be used, not even a synchronous one."""
        return self.smooth_ns > self._cap_ns

    @property
    def usable_ns(self) -> int:
        """How long after its observation a chunk may be followed [ns]."""
        return self._cap_ns if self.synchronous else self._valid_ns

    @property
    def patience_ns(self) -> int:
        """How long after its observation an answer may be taken [ns]; without one by then the ladder stops."""
        if not self.synchronous:
            return self._valid_ns
        return min(self._cap_ns, max(self._valid_ns, round(PATIENCE * self.smooth_ns)))
