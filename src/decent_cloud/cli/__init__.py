"""The `decent` command."""
