"""Reports as HTML: one style for pages, and fragments for notebooks."""
