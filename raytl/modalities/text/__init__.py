"""The text wing: columns of strings, vocabularies and tokenizers, networks that read tokens."""
