"""The web page and API: `gerund serve`. The only room that knows the web framework."""
