"""Tables: rows of fields, each a number or one of some categories, any of them missing."""
