"""Audio: sounds of one channel, read by any image backbone as log-mel spectrograms."""
