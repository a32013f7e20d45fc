"""What users write with: tasks, workflows, promises, the type system, and running all of it as plain Python.

Called by users through the package root, by `compiler` (which turns recorded workflows into spec documents) and by
`runtime` (which loads a task and calls it). Apart from the compiler because a task container needs this and not that.
Read in this order: `entity`, `signature`, `promises`, `recording`, `tasks`, `workflows`, `plain`.
"""
