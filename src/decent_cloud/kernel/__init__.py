"""Words everyone shares: money, ids, status, clock, errors, paging, codec, lifecycles."""
