"""Public fakes, one per port, for tests of ours and of users: they keep the same contracts as the real adapters.

`metadata.MemoryMetadataStore`, `engine.FakeEngine`, `launcher.FakeLauncher`, `blobs.MemoryBlobStore`. For tests of
users' workflows: `task_mock` and `patch`. Apart from `tests`, because they are part of the distribution; nothing in production paths may import them.
"""

from __future__ import annotations

from flyte_temporal.testing.mocks import patch, task_mock

__all__ = ["patch", "task_mock"]
