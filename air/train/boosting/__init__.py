"""What the trainers of libraries have in common that boost trees round by round."""
