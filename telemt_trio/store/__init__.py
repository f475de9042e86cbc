"""What outlives the process: files, and later usage and replays."""
