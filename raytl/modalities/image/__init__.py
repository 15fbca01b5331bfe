"""Images: columns of pixels, and the networks that read them. This package itself loads no
torch."""
