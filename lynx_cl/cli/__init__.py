"""The command line: one file a command or a group of commands; importing any of them imports nothing heavy."""
