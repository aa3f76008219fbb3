"""What `make site` builds the site with; no part of the package."""
