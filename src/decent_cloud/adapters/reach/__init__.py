"""Looking outwards: which addresses we may connect to, and whether an instance answers there."""
