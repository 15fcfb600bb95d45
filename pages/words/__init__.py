"""The words of a page, by what they are about."""
