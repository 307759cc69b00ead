"""Large-sparse against small-dense models."""
