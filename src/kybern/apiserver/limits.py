"""What a request may be at most, over whatever it comes."""

MAX_BODY = 3 * 1024 * 1024
MAX_HEADERS = 1024 * 1024
MAX_PIPELINED = 16
