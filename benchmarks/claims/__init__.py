"""The statements of the lessons, one module per lesson; see lesson_claims.py."""
