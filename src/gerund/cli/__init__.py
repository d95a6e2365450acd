"""The command line: each command is one function of the Python API. Begin with `app`; nothing imports this room."""
