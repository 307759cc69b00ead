"""An emulated ARM64 Python with LiteRT, which `scripts/setup_arm64.sh` sets up."""
