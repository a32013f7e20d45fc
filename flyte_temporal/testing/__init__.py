"""Public fakes, one per port, for tests of ours and of users: they keep the same contracts as the real adapters.

`metadata.MemoryMetadataStore`, `engine.FakeEngine`, `launcher.FakeLauncher`, `blobs.MemoryBlobStore`. Apart from
`tests`, because they are part of the distribution; nothing in production paths may import them.
"""
