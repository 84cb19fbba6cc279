"""A third domain, outside the package: ratings of items with titles, as docs/extending.md adds one."""
