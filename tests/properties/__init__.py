"""What holds always: said of every declaration, every history and every order of arrival."""
