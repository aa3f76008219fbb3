"""Effects of a staggered adoption: scores of cells by any engine, their aggregations, and further questions."""
