"""From bytes to views: `decode` makes pixels, `look` makes the rows that the tower sees."""
