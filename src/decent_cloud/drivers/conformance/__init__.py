"""The conformance kit: what every driver must do, as test classes that take a rig of its backend."""
