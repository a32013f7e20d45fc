"""The type engine: Python annotation ↔ type of the spec ↔ JSON of a literal.

Called by the SDK (interfaces, plain calls), the compiler (constants), the runtime (inputs and outputs of an attempt)
and the command line (flags). Apart from `spec`, because it knows Python's types and touches files; apart from the rest
of `sdk`, because a task container needs it without the authoring language.

Read in this order: `converter` (the shape of a conversion), `scalars`, `containers`, `structs`, `engine` (the registry),
`values` (literals, off-loading). Values that are files: `stored`, then `frames`, `datasets`, `arrays`, `pictures`; values that only a
task opens: `opaque`, then `pickles`, `estimators`. `text`, `display` and `conform` work on JSON and spec types alone.
"""
