"""Every family of compression on the same networks, beside what the literature published."""
