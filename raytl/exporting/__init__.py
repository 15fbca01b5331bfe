"""A model taken along: written as other libraries load it, one file a format."""
