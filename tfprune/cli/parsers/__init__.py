"""What commands take: one module a command, with `add_parser`, `check` and `run`.

None needs Keras, until `run` imports the module of the same name in `commands`.
"""
