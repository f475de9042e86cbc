"""When and how big: pure decisions about sizes and timing."""
