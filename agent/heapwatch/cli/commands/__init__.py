"""One module per command of the agent: `HELP`, `configure(parser)`, `run(args)`."""
