"""Tools of this repository that demo, bench and tests share; no part of the package."""
