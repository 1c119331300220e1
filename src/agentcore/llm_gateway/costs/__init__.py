"""What calls came to, by whom, by what and when."""
