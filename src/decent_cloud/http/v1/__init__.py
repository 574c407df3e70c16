"""Version 1 of the JSON API: parse, call a use case, render; one file per noun."""
