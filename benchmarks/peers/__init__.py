"""The other libraries, each in a process of its own that explains what it is asked to. They import nothing of the
server: some live in virtual environments that do not have its requirements.
"""
