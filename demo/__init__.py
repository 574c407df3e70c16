"""The main job, shown: a tenant rents a real machine from a provider, end to end."""
