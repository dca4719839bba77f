"""What is kept: the tables, the one writer that makes data durable, and the queries on them."""
