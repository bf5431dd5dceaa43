"""What the project is made of: its licences, its bill of materials, and what is known against them."""
