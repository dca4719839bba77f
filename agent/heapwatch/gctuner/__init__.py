"""The garbage collector, measured and put to work where no request waits for it."""
