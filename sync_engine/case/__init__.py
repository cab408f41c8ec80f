"""Case: findings that last become cases, and a case that is open is an alert. Pure."""
