"""A policy with what a server needs to answer for it: frames, its cost per batch, the robots that wait for it."""

import math
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robostral.bundle.policy import CPU, OnnxPolicy
from robostral.errors import BundleRefused
from robostral.policy import Policy
from robostral.serving.metrics import BUCKETS
from robostral.serving.sessions import Session
from robostral.serving.wire import Layout, ReplyFrame, Request

if TYPE_CHECKING:
    from robostral.bundle import Bundle

WARM_UP_RUNS = 3
PATIENCE_NS = 1_000_000
"""A policy that answers in less than this [ns] never waits for another request."""
WARM_COST_NS = 250_000
"""A policy that takes longer than this [ns] is not run just to keep it warm."""


class Hosted:
    """A policy under the name and digest of its bundle.

    Args:
        policy: Local policy; its contract decides every size.
        name: Name with version, as clients ask for it.
        digest: SHA-256 of the bundle's manifest, 32 bytes.
        max_batch: Most rows that the policy takes at once.
        max_delay_ns: Longest that a request waits for another robot's, so that one inference answers both [ns].
        keep_warm: Whether to run it in between requests, so that the next answer does not come from cold caches.

    Attributes:
        patient: Whether waiting can pay: it saves an inference at most, and the poller counts in milliseconds.
        bundle: What it was opened from, if it was a bundle.
        names: Every label under which robots may ask for it: its own, and those of versions that it replaced.
        reply: Frame that every reply is built in.
        took: How many replies took less than 2^i µs, but not less than half of that; see `serving.metrics`.
        took_us: Sum of the times of all replies [µs].
        pending: The newest request of each session that waits, in order of arrival.
    """

    def __init__(
        self,
        policy: Policy,
        name: str,
        digest: bytes,
        max_batch: int = 64,
        *,
        max_delay_ns: int = 0,
        keep_warm: bool = False,
    ) -> None:
        self.policy, self.name, self.digest, self.max_batch = policy, name, digest, max_batch
        self.max_delay_ns, self._keep_warm, self.patient = max_delay_ns, keep_warm, False
        self.bundle: Bundle | None = None
        self.names = {name}
        self.sealed = policy.sealed
        self.layout = Layout.of(policy.sealed.raw)
        self.reply = ReplyFrame(self.layout, max_batch, digest)
        self.pending: dict[Session, Request] = {}
        self.took, self.took_us = [0] * BUCKETS, 0
        self._batch = np.zeros((max_batch, self.layout.obs_size), np.float32)
        self._floats = self._batch.reshape(-1).data
        self._bytes = self._floats.cast("B")
        self._cost_ns = [0] * (max_batch + 1)

    @classmethod
    def from_bundle(cls, bundle: "Bundle", provider: str = CPU, max_delay_ns: int = 0) -> "Hosted":
        """Open a verified bundle with onnxruntime.

        Args:
            bundle: The bundle.
            provider: Name of onnxruntime's execution provider.
            max_delay_ns: See the class.

        Raises:
            MissingExtra: onnxruntime is not installed.
            ConfigError: It has no such provider.
            BundleRefused: onnxruntime does not take the model.
        """
        policy, name, rows = OnnxPolicy(bundle, provider), bundle.manifest.label, bundle.requirements.max_batch
        hosted = cls(policy, name, bundle.digest, rows, max_delay_ns=max_delay_ns, keep_warm=True)
        hosted.bundle = bundle
        return hosted

    def version(self, bundle: "Bundle") -> "Hosted":
        """Open another version of this bundle in the same way."""
        assert isinstance(self.policy, OnnxPolicy)
        return Hosted.from_bundle(bundle, self.policy.provider, self.max_delay_ns)

    @property
    def family(self) -> str:
        """Name without the version."""
        return self.bundle.manifest.name if self.bundle else self.name

    def take_over(self, old: "Hosted") -> None:
        """Answer from now on what `old` was asked; both have the same contract."""
        self.names |= old.names
        self.pending, old.pending = old.pending, {}

    def warm_up(self) -> None:
        """Run every batch size; after the first run, the quickest of a few is what it is expected to cost.

        Raises:
            BundleRefused: A chunk has not the contract's shape, or holds a number that is not finite.
        """
        for rows in range(1, self.max_batch + 1):
            want = (rows, self.layout.horizon, self.layout.n)
            chunk = self.policy.infer(self._batch[:rows])
            if chunk.shape != want or not np.isfinite(chunk).all():
                raise BundleRefused(f"'{self.name}' answers zeros with {chunk.shape}, not with finite numbers {want}")
            self._cost_ns[rows] = min(self._time(rows) for _ in range(WARM_UP_RUNS))
        self.patient = min(self.max_delay_ns, self._cost_ns[1]) >= PATIENCE_NS

    def stay_warm(self) -> None:
        """Run one row for nobody, if that is cheap; it has run at warm-up, so it does here."""
        if self._keep_warm and self._cost_ns[1] <= WARM_COST_NS:
            self.policy.infer(self._batch[:1])

    def cost_ns(self, rows: int) -> int:
        """Return the time [ns] that a batch of `rows`, or of as many as fit, is expected to take."""
        return self._cost_ns[min(rows, self.max_batch)]

    def load(self, row: int, request: Request) -> bool:
        """Copy a request's observations into the batch from `row` on; return whether all of them are finite."""
        size = self.layout.obs_size
        start, end = row * size, (row + request.rows) * size
        self._bytes[4 * start : 4 * end] = request.obs
        # A sum of float32 in double precision is finite exactly when all of them are; numpy costs more at this size.
        return math.isfinite(sum(self._floats[start:end]))

    def infer(self, rows: int) -> NDArray[np.float32]:
        """Run the first `rows` of the batch; return their chunks, shape (rows, horizon, n)."""
        return self.policy.infer(self._batch[:rows])

    def _time(self, rows: int) -> int:
        start = time.monotonic_ns()
        self.policy.infer(self._batch[:rows])
        return time.monotonic_ns() - start
