"""What the commands do: one module a command, with `run`; imported when the command is run."""
