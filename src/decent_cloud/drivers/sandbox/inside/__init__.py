"""What runs inside a machine: the SSH server and its terminals, on the standard library and asyncssh."""
