"""A plugin of pytest, which pytest finds by itself: a fleet for the tests of those who use one."""
